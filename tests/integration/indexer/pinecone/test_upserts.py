"""Both ways into Pinecone, against its stand-in: equal records, equal refusals, equal patience."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pinecone
import pydantic
import pytest
from google.protobuf import struct_pb2

from sandbox.pinecone import testing
from services.billing import spend
from services.indexer import settings
from services.indexer.pinecone import batch as pinecone_batch
from services.indexer.pinecone import client as pinecone_client
from services.indexer.pinecone import deletes as pinecone_deletes
from services.indexer.pinecone import rest as pinecone_rest
from services.indexer.pinecone import transport as pinecone_transport
from services.indexer.pinecone import wire as pinecone_wire
from services.indexer.pinecone import writer as pinecone_writer
from services.runtime import errors
from tests.support import proxy

INDEX = "both-ways"
DIMENSION = 8


def make_index(process: testing.Process, dimension: int) -> None:
    """Make the index, in place of the one that may be there."""
    client = pinecone.Pinecone(api_key="test", host=process.url)
    if client.has_index(INDEX):
        client.delete_index(INDEX)
    client.create_index(
        INDEX, dimension=dimension, metric="cosine", spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
    )
    client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone")) as process:
        make_index(process, DIMENSION)
        yield process


def settings_for(url: str) -> settings.PineconeSettings:
    return settings.PineconeSettings(
        pinecone_api_key=pydantic.SecretStr("test"), pinecone_index_name=INDEX, pinecone_controller_host=url
    )


@contextlib.asynccontextmanager
async def writing(
    index: pinecone_client.Pinecone, choice: pinecone_transport.Choice
) -> AsyncIterator[pinecone_writer.Upserts]:
    wire = pinecone_wire.Wire(index, pydantic.SecretStr("test"), 5.0)
    by_rest = pinecone_rest.Rest(index, 5.0)
    yield pinecone_writer.Upserts(pinecone_transport.Transport(index, wire, by_rest, choice))
    await wire.close()
    await index.close()


@pytest.fixture(params=["wire", "sdk"])
async def upserts(server: testing.Process, request: pytest.FixtureRequest) -> AsyncIterator[pinecone_writer.Upserts]:
    async with writing(pinecone_client.Pinecone(settings_for(server.url)), request.param) as writer:
        yield writer


async def may_write() -> None:
    """Always."""


def vectors(count: int) -> list[pinecone_batch.Vector]:
    found = []
    for number in range(count):
        metadata = struct_pb2.Struct()
        metadata.update({"n": number, "text": f"row {number}", "flag": bool(number % 2)})
        values = (np.arange(DIMENSION, dtype="<f4") + number + 0.1).tobytes()
        found.append(pinecone_batch.Vector(f"1.{number}", memoryview(values), metadata.SerializeToString()))
    return found


def held(server: testing.Process, namespace: str) -> dict[str, object]:
    return {each["id"]: (each["sha256"], each["metadata"]) for each in server.dump(INDEX, namespace)}


async def test_what_is_written_is_equal_to_the_byte(
    server: testing.Process, upserts: pinecone_writer.Upserts, request: pytest.FixtureRequest
) -> None:
    namespace = f"equal-{request.node.callspec.id}"

    assert await upserts.write(pinecone_batch.Batch(vectors(20), namespace), may_write) == {}

    found = held(server, namespace)
    assert len(found) == 20
    assert found == held(server, "equal-wire")  # the wire's run is the first


@pytest.mark.parametrize("choice", ["wire", "sdk"])
async def test_records_are_read_the_same_by_both_ways(
    server: testing.Process, choice: pinecone_transport.Choice
) -> None:
    index = pinecone_client.Pinecone(settings_for(server.url))
    wire = pinecone_wire.Wire(index, pydantic.SecretStr("test"), 5.0)
    way = pinecone_transport.Transport(index, wire, pinecone_rest.Rest(index, 5.0), choice)
    await pinecone_writer.Upserts(way).write(pinecone_batch.Batch(vectors(3), "read"), may_write)

    found = await way.fetch("read", ["1.0", "1.2", "1.9"])

    assert {name: dict(record.metadata) for name, record in found.items()} == {
        "1.0": {"n": 0.0, "text": "row 0", "flag": False},
        "1.2": {"n": 2.0, "text": "row 2", "flag": False},
    }
    assert await way.fetch("nothing", ["1.0"]) == {}
    await wire.close()
    await index.close()


@pytest.mark.parametrize("choice", ["wire", "sdk"])
async def test_a_namespace_is_dropped_by_both_ways_for_five_units_and_again_does_no_harm(
    server: testing.Process, choice: pinecone_transport.Choice
) -> None:
    index = pinecone_client.Pinecone(settings_for(server.url))
    wire = pinecone_wire.Wire(index, pydantic.SecretStr("test"), 5.0)
    way = pinecone_transport.Transport(index, wire, pinecone_rest.Rest(index, 5.0), choice)
    upserts = pinecone_writer.Upserts(way)
    for namespace in ("dropped", "stays"):
        await upserts.write(pinecone_batch.Batch(vectors(300), namespace), may_write)
    server.forget_requests()
    drops = pinecone_deletes.Deletes(way, upserts.circuit)

    for _ in range(2):
        assert (await drops.drop("dropped", may_write)).spent == spend.Spend(write_units=5)

    assert (await index.count("dropped"), await index.count("stays")) == (0, 300)
    done = [each for each in server.requests()["requests"] if each["status"] == "OK" and each["write_units"]]
    assert [(each["op"], each["write_units"]) for each in done] == [("delete_namespace", 5)]
    await wire.close()
    await index.close()


@pytest.mark.parametrize("choice", ["wire", "sdk"])
async def test_writes_tell_where_they_are_in_the_log_and_queries_how_far_it_is_seen(
    server: testing.Process, choice: pinecone_transport.Choice
) -> None:
    index = pinecone_client.Pinecone(settings_for(server.url))
    wire = pinecone_wire.Wire(index, pydantic.SecretStr("test"), 5.0)
    way = await pinecone_transport.Transport(index, wire, pinecone_rest.Rest(index, 5.0), choice).way()
    namespace = f"log-{choice}"
    assert await index.position(namespace) == (None, spend.Spend(read_thousandths=250)), "there is none yet"

    written = [await way.upsert(pinecone_batch.Batch(vectors(2), namespace)) for _ in range(2)]
    deleted = await way.delete(namespace, ["1.0"])

    assert [(each.count, each.lsn) for each in written] == [(2, 1), (2, 2)]
    assert deleted == (3 if choice == "wire" else 0), "the SDK does not hand out what a delete is answered with"
    assert (await index.position(namespace))[0] == 3
    await wire.close()
    await index.close()


@pytest.mark.parametrize("status", [501, 403])
@pytest.mark.parametrize("choice", ["wire", "sdk"])
async def test_an_index_that_drops_no_namespaces_is_told_to_delete_all(
    server: testing.Process, choice: pinecone_transport.Choice, status: int
) -> None:
    """What is like Pinecone may know the older call only, and a key may have no right to more."""
    index = pinecone_client.Pinecone(settings_for(server.url))
    wire = pinecone_wire.Wire(index, pydantic.SecretStr("test"), 5.0)
    way = pinecone_transport.Transport(index, wire, pinecone_rest.Rest(index, 5.0), choice)
    upserts = pinecone_writer.Upserts(way)
    await upserts.write(pinecone_batch.Batch(vectors(3), "emptied"), may_write)
    server.set_faults({"op": "delete_namespace", "kind": "status", "status": status})
    try:
        await pinecone_deletes.Deletes(way, upserts.circuit).drop("emptied", may_write)
    finally:
        server.set_faults()
    assert await index.count("emptied") == 0
    await wire.close()
    await index.close()


async def test_a_refused_record_is_found_and_its_neighbours_are_written(
    server: testing.Process, upserts: pinecone_writer.Upserts, request: pytest.FixtureRequest
) -> None:
    batch = vectors(9)
    batch[4] = pinecone_batch.Vector("1.4", memoryview(bytes(4 * DIMENSION)), b"")  # all zero
    namespace = f"refused-{request.node.callspec.id}"

    refused = await upserts.write(pinecone_batch.Batch(batch, namespace), may_write)

    assert set(refused) == {4}
    assert set(held(server, namespace)) == {f"1.{number}" for number in range(9) if number != 4}


async def test_partial_success_is_no_success(
    server: testing.Process, upserts: pinecone_writer.Upserts, request: pytest.FixtureRequest
) -> None:
    server.set_faults({"op": "upsert", "kind": "partial", "keep": 3, "times": 1})
    namespace = f"partial-{request.node.callspec.id}"

    assert await upserts.write(pinecone_batch.Batch(vectors(10), namespace), may_write) == {}

    assert len(held(server, namespace)) == 10


def transports(server: testing.Process) -> set[str]:
    return {each["transport"] for each in server.requests()["requests"] if each["op"] == "upsert"}


async def test_the_wire_is_the_way_where_grpc_is_served(server: testing.Process) -> None:
    server.forget_requests()
    async with writing(pinecone_client.Pinecone(settings_for(server.url)), "auto") as writer:
        assert await writer.write(pinecone_batch.Batch(vectors(3), "served"), may_write) == {}
    assert transports(server) == {"grpc"}


@contextlib.asynccontextmanager
async def behind(server: testing.Process) -> AsyncIterator[tuple[pinecone_client.Pinecone, proxy.Proxy]]:
    """The index, dialled through a proxy."""
    index = pinecone_client.Pinecone(settings_for(server.url))
    described = await index.index()
    between = proxy.Proxy(int(described.host.rsplit(":", 1)[1]))
    index._index = pinecone_client.Index(INDEX, f"http://127.0.0.1:{between.port}", DIMENSION)
    yield index, between
    between.close()


# What a server without HTTP/2 says to its preface.
NO_GRPC: dict[str, Any] = {"match": b"PRI * HTTP/2.0", "body": b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"}


async def test_an_index_without_grpc_is_written_by_rest(server: testing.Process) -> None:
    server.forget_requests()
    async with behind(server) as (index, between), writing(index, "auto") as writer:
        with between.toxic(proxy.Kind.ANSWER, **NO_GRPC):
            assert await writer.write(pinecone_batch.Batch(vectors(5), "rest-only"), may_write) == {}
    assert transports(server) == {"rest"}
    assert len(held(server, "rest-only")) == 5


async def test_the_wire_is_gone_back_to_when_it_is_served_again(server: testing.Process) -> None:
    async with behind(server) as (index, between), writing(index, "auto") as writer:
        with between.toxic(proxy.Kind.ANSWER, **NO_GRPC):
            await writer.write(pinecone_batch.Batch(vectors(1), "back"), may_write)
        server.forget_requests()
        async with asyncio.timeout(60.0):
            while "grpc" not in transports(server):
                assert await writer.write(pinecone_batch.Batch(vectors(1), "back"), may_write) == {}


async def test_a_server_of_http2_that_knows_no_upsert_is_written_by_rest(server: testing.Process) -> None:
    index = pinecone_client.Pinecone(settings_for(server.url))
    await index.data_plane()  # REST goes where it went
    other = grpc.aio.server()
    port = other.add_insecure_port("127.0.0.1:0")
    await other.start()
    async with writing(index, "auto") as writer:
        rest, index._index = index._index, pinecone_client.Index(INDEX, f"http://127.0.0.1:{port}", DIMENSION)
        with pytest.raises(pinecone_batch.IndexUnavailable, match="UNIMPLEMENTED"):
            await writer.write(pinecone_batch.Batch(vectors(2), "no-upsert"), may_write)
        index._index = rest
        assert await writer.write(pinecone_batch.Batch(vectors(2), "no-upsert"), may_write) == {}
    await other.stop(None)
    assert len(held(server, "no-upsert")) == 2


async def test_rest_is_no_way_around_a_choice_of_the_wire(server: testing.Process) -> None:
    async with behind(server) as (index, between), writing(index, "wire") as writer:
        with between.toxic(proxy.Kind.ANSWER, **NO_GRPC), pytest.raises(pinecone_batch.IndexUnavailable):
            await writer.write(pinecone_batch.Batch(vectors(1), "forbidden"), may_write)
    assert held(server, "forbidden") == {}


async def test_an_index_that_answers_nothing_is_an_outage() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        index = pinecone_client.Pinecone(settings_for("http://127.0.0.1:9"))
        index._index = pinecone_client.Index(INDEX, f"http://127.0.0.1:{taken.getsockname()[1]}", DIMENSION)
        async with writing(index, "auto") as writer:
            with pytest.raises(pinecone_batch.IndexUnavailable):
                await writer.write(pinecone_batch.Batch(vectors(1), "nowhere"), may_write)


async def test_a_host_that_the_sdk_refuses_is_said_to_be_the_trouble() -> None:
    index = pinecone_client.Pinecone(settings_for("http://127.0.0.1:9"))
    index._index = pinecone_client.Index(INDEX, "https://index", DIMENSION)
    with pytest.raises(errors.Unavailable, match="https://index"):
        await index.query([1.0] * DIMENSION, namespace="", top_k=1, metadata_filter=None)
    await index.close()


async def test_a_host_whose_name_has_no_dot_is_reached_by_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a network of containers; the SDK refuses such a name for an index."""
    resolve = socket.getaddrinfo

    def resolving(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in ("pinecone", b"pinecone") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    with testing.running(tmp_path, "--name", "pinecone") as process:
        port = process.url.rsplit(":", 1)[1]
        with pinecone.Pinecone(api_key="test", host=f"http://127.0.0.1:{port}") as client:
            client.create_index(
                INDEX,
                dimension=DIMENSION,
                metric="cosine",
                spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1"),
            )
        index = pinecone_client.Pinecone(settings_for(f"http://pinecone:{port}"))
        assert (await index.index()).host.startswith("http://pinecone:")
        async with writing(index, "sdk") as writer:
            assert await writer.write(pinecone_batch.Batch(vectors(2), "named"), may_write) == {}
            found, _ = await index.query([1.0] * DIMENSION, namespace="named", top_k=1, metadata_filter=None)
            assert len(found) == 1


async def test_an_index_made_anew_with_another_dimension_is_no_rows_fault(tmp_path: Path) -> None:
    """Bisecting would reject every row of the task, one by one."""
    with testing.running(tmp_path) as alone:
        make_index(alone, DIMENSION)
        index = pinecone_client.Pinecone(settings_for(alone.url))
        async with writing(index, "wire") as writer:
            assert await writer.write(pinecone_batch.Batch(vectors(3), "v2"), may_write) == {}
            make_index(alone, DIMENSION // 2)
            with pytest.raises(pinecone_batch.IndexUnavailable, match="has 4 values"):
                await writer.write(pinecone_batch.Batch(vectors(3), "v2"), may_write)
            assert index.dimension == DIMENSION // 2, "the gate must know, to block the task"

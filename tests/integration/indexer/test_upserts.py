"""Both ways into Pinecone, against its stand-in: equal records, equal refusals, equal patience."""

from collections.abc import AsyncIterator, Iterator

import numpy as np
import pinecone
import pydantic
import pytest
from google.protobuf import struct_pb2

from sandbox.pinecone import testing
from services.indexer import pinecone_batch, pinecone_client, pinecone_writer, settings

INDEX = "both-ways"
DIMENSION = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone")) as process:
        client = pinecone.Pinecone(api_key="test", host=process.url)
        client.create_index(
            INDEX, dimension=DIMENSION, metric="cosine", spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
        )
        client.close()
        yield process


@pytest.fixture(params=[False, True], ids=["wire", "sdk"])
async def upserts(server: testing.Process, request: pytest.FixtureRequest) -> AsyncIterator[pinecone_writer.Upserts]:
    where = settings.PineconeSettings(
        pinecone_api_key=pydantic.SecretStr("test"),
        pinecone_index_name=INDEX,
        pinecone_controller_host=server.url,
    )
    index = pinecone_client.Pinecone(where)
    writer = pinecone_writer.Upserts(index, where.pinecone_api_key, 5.0, by_sdk=request.param)
    yield writer
    await writer.close()
    await index.close()


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

    assert await upserts.write(namespace, vectors(20), may_write) == {}

    found = held(server, namespace)
    assert len(found) == 20
    assert found == held(server, "equal-wire")  # the wire's run is the first


async def test_a_refused_record_is_found_and_its_neighbours_are_written(
    server: testing.Process, upserts: pinecone_writer.Upserts, request: pytest.FixtureRequest
) -> None:
    batch = vectors(9)
    batch[4] = pinecone_batch.Vector("1.4", memoryview(bytes(4 * DIMENSION)), b"")  # all zero
    namespace = f"refused-{request.node.callspec.id}"

    refused = await upserts.write(namespace, batch, may_write)

    assert set(refused) == {4}
    assert set(held(server, namespace)) == {f"1.{number}" for number in range(9) if number != 4}


async def test_partial_success_is_no_success(
    server: testing.Process, upserts: pinecone_writer.Upserts, request: pytest.FixtureRequest
) -> None:
    server.set_faults({"op": "upsert", "kind": "partial", "keep": 3, "times": 1})
    namespace = f"partial-{request.node.callspec.id}"

    assert await upserts.write(namespace, vectors(10), may_write) == {}

    assert len(held(server, namespace)) == 10

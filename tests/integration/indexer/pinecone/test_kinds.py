"""Indexes that are not as expected, against the stand-in by both ways: told apart from rows, and found again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.pinecone import testing
from services.billing import spend
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import client, transport, writer
from services.runtime import errors
from tests.integration.indexer.pinecone import test_upserts as ways

SPARSE = {"fields": {"_sparse_values": {"type": "sparse_vector"}}}
DOCUMENTS = {
    "fields": {
        "embedding": {"type": "dense_vector", "dimension": ways.DIMENSION, "metric": "cosine"},
        "title": {"type": "string", "full_text_search": {}},
    }
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[testing.Process]:
    with testing.running(tmp_path) as process:
        ways.make_index(process, ways.DIMENSION)
        yield process


@pytest.fixture
def index(server: testing.Process) -> client.Pinecone:
    return client.Pinecone(ways.settings_for(server.url))


@pytest.fixture(params=["wire", "sdk"])
async def upserts(index: client.Pinecone, request: pytest.FixtureRequest) -> AsyncIterator[writer.Upserts]:
    choice: transport.Choice = request.param
    async with ways.writing(index, choice) as writing:
        yield writing


def make_anew(server: testing.Process, schema: dict[str, Any]) -> None:
    with httpx.Client(base_url=server.url, headers={"Api-Key": "test"}) as rest:
        rest.delete(f"/indexes/{ways.INDEX}").raise_for_status()
        rest.post("/indexes", json={"name": ways.INDEX, "schema": schema}).raise_for_status()


async def write(upserts: writer.Upserts, count: int = 5, namespace: str = "v2") -> dict[int, str]:
    return await upserts.write(batches.Batch(ways.vectors(count), namespace), ways.may_write)


@pytest.mark.parametrize(("schema", "words"), [(SPARSE, "keeps sparse vectors"), (DOCUMENTS, "embedding, title")])
async def test_an_index_of_another_kind_says_so_when_it_is_described(
    server: testing.Process, index: client.Pinecone, schema: dict[str, Any], words: str
) -> None:
    make_anew(server, schema)
    found = await index.index()
    assert found.dimension == 0
    assert index.problem is not None
    assert (index.problem.reason, words in index.problem.message) == ("INDEX_UNUSABLE", True)
    assert "PINECONE_INDEX_NAME" in index.problem.message
    await index.close()


@pytest.mark.parametrize("schema", [SPARSE, DOCUMENTS])
async def test_an_index_that_was_made_anew_as_another_kind_is_no_rows_fault(
    server: testing.Process, index: client.Pinecone, upserts: writer.Upserts, schema: dict[str, Any]
) -> None:
    assert await write(upserts) == {}
    make_anew(server, schema)
    server.forget_requests()

    with pytest.raises(batches.IndexUnavailable, match="dense vectors"):
        await write(upserts)

    assert index.problem is not None, "the gate must know, to block the task"
    assert len([each for each in server.requests()["requests"] if each["op"] == "upsert"]) <= 4


async def test_an_index_that_was_moved_is_found_again(
    server: testing.Process, index: client.Pinecone, upserts: writer.Upserts
) -> None:
    assert await write(upserts) == {}
    before = index.host
    server.move(ways.INDEX)

    async with asyncio.timeout(60.0):
        while True:
            try:
                assert await write(upserts, 9) == {}
                break
            except batches.IndexUnavailable:
                await asyncio.sleep(0.2)

    assert index.host != before
    assert len(ways.held(server, "v2")) == 9
    (found,), cost = await index.query([1.0] * ways.DIMENSION, namespace="v2", top_k=1, metadata_filter=None)
    assert found.vector_id
    assert cost == spend.Spend(read_thousandths=250)


async def test_calls_under_way_end_where_they_began_when_the_index_is_elsewhere(
    server: testing.Process, index: client.Pinecone
) -> None:
    async with ways.writing(index, "wire") as upserts:
        assert await write(upserts, 1) == {}
        server.set_faults({"op": "upsert", "kind": "slow", "delay_ms": 800, "times": 1})
        slow = asyncio.create_task(write(upserts, 2, "slow"))
        await asyncio.sleep(0.2)
        server.move(ways.INDEX)
        await index.look_again()
        assert await write(upserts, 3, "moved") == {}
        assert await slow == {}
    assert len(ways.held(server, "slow")) == 2
    assert len(ways.held(server, "moved")) == 3


@pytest.mark.parametrize("kind", ["month_used", "storage_full"])
async def test_a_plans_quota_is_told_in_pinecones_words_and_not_tried_again(
    server: testing.Process, upserts: writer.Upserts, kind: str
) -> None:
    server.set_faults({"op": "upsert", "kind": kind})
    with pytest.raises(batches.IndexExhausted, match="You've reached"):
        await write(upserts)
    assert upserts.exhausted is not None
    assert upserts.exhausted.reason == "INDEX_QUOTA_EXCEEDED"
    assert not upserts.circuit.open
    assert ways.held(server, "v2") == {}


async def test_a_limit_by_the_second_is_waited_for(server: testing.Process, upserts: writer.Upserts) -> None:
    words = "Request failed. You've reached the upsert QPS limit for namespace v2 (100 QPS). Pace your upsert requests"
    server.set_faults(
        {"op": "upsert", "kind": "status", "status": 429, "message": words, "retry_after": 0.1, "times": 2}
    )
    assert await write(upserts) == {}
    assert upserts.exhausted is None
    assert len(ways.held(server, "v2")) == 5


async def test_every_call_asks_for_the_version_that_is_read(
    server: testing.Process, index: client.Pinecone, upserts: writer.Upserts
) -> None:
    """An index of an older version's shape would say nothing of what kind it is."""
    server.forget_requests()
    assert await write(upserts) == {}
    await index.query([1.0] * ways.DIMENSION, namespace="v2", top_k=1, metadata_filter=None)
    assert await index.count("v2") == 5
    assert {each["version"] for each in server.requests()["requests"]} == {"2026-07"}


async def test_vectors_of_a_namespace_are_counted(server: testing.Process, index: client.Pinecone) -> None:
    async with ways.writing(index, "wire") as upserts:
        await write(upserts, 3, "")
        await write(upserts, 2, "other")
        assert [await index.count(name) for name in ("", "__default__", "other", "nobody")] == [3, 3, 2, 0]


async def test_who_cannot_be_asked_is_not_said_to_be_empty() -> None:
    index = client.Pinecone(ways.settings_for("http://127.0.0.1:9"))
    index._index = client.Index(ways.INDEX, "http://127.0.0.1:9", ways.DIMENSION)
    with pytest.raises(errors.Unavailable):
        await index.count("v2")
    await index.close()

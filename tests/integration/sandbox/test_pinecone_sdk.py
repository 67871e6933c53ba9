"""The real Pinecone SDK cannot tell the stand-in apart: every operation, over REST, gRPC and asyncio."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pinecone
import pytest
from pinecone import AsyncPinecone, Pinecone, ServerlessSpec

from sandbox.pinecone import testing

DIMENSION = 8
SPEC = ServerlessSpec(cloud="aws", region="us-east-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone")) as process:
        yield process


@pytest.fixture(scope="module")
def client(server: testing.Process) -> Iterator[Pinecone]:
    with Pinecone(api_key="any", host=server.url, grpc_scheme="http") as client:
        client.create_index(name="main", dimension=DIMENSION, metric="cosine", spec=SPEC)
        yield client


@pytest.fixture(params=["rest", "grpc"])
def index(client: Pinecone, request: pytest.FixtureRequest) -> Iterator[Any]:
    with client.index("main", grpc=request.param == "grpc") as index:
        yield index
        for namespace in list(index.list_namespaces()):
            for item in namespace.namespaces if hasattr(namespace, "namespaces") else [namespace]:
                index.delete_namespace(name=item.name)


def vector(seed: int) -> list[float]:
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype("f4").tolist()


def packed(values: list[float]) -> bytes:
    """The float32 bytes: REST prints the shortest decimal that reads back to them."""
    return np.array(values, "<f4").tobytes()


def vectors(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"7.{n}",
            "values": vector(n),
            "metadata": {"n": n, "even": n % 2 == 0, "name": f"ñ {n}", "tags": ["x", f"t{n}"]},
        }
        for n in range(count)
    ]


def test_the_host_is_dialled_in_plaintext_by_both_clients(client: Pinecone, server: testing.Process) -> None:
    assert client.describe_index("main").host == server.url
    assert client.index("main").host == server.url
    assert client.index("main", grpc=True).host == server.url


def test_upserted_vectors_are_fetched_bit_by_bit(index: Any) -> None:
    batch = vectors(5)
    assert index.upsert(vectors=batch, namespace="v2").upserted_count == 5
    fetched = index.fetch(ids=["7.0", "7.4", "unknown"], namespace="v2")
    assert sorted(fetched.vectors) == ["7.0", "7.4"]
    for number in (0, 4):
        assert packed(fetched.vectors[f"7.{number}"].values) == packed(batch[number]["values"])
        assert fetched.vectors[f"7.{number}"].metadata == batch[number]["metadata"]


def test_an_upsert_replaces_and_an_update_patches(index: Any) -> None:
    index.upsert(vectors=vectors(3), namespace="v2")
    index.upsert(vectors=[{"id": "7.0", "values": vector(9)}], namespace="v2")
    index.update(id="7.1", set_metadata={"n": 100}, values=vector(8), namespace="v2")
    index.update(id="unknown", set_metadata={"n": 1}, namespace="v2")
    fetched = index.fetch(ids=["7.0", "7.1"], namespace="v2").vectors
    assert packed(fetched["7.0"].values) == packed(vector(9))
    assert not fetched["7.0"].metadata
    assert packed(fetched["7.1"].values) == packed(vector(8))
    assert fetched["7.1"].metadata == {**vectors(2)[1]["metadata"], "n": 100}
    assert index.describe_index_stats().total_vector_count == 3


def test_update_by_filter_counts_and_a_dry_run_changes_nothing(index: Any) -> None:
    index.upsert(vectors=vectors(4), namespace="v2")
    arguments = {"filter": {"even": True}, "set_metadata": {"seen": True}, "namespace": "v2"}
    assert index.update(**arguments, dry_run=True).matched_records == 2
    assert not index.fetch_by_metadata(filter={"seen": True}, namespace="v2").vectors
    assert index.update(**arguments).matched_records == 2
    assert sorted(index.fetch_by_metadata(filter={"seen": True}, namespace="v2").vectors) == ["7.0", "7.2"]


def test_a_query_finds_the_nearest_first(index: Any) -> None:
    index.upsert(vectors=vectors(20), namespace="v2")
    answer = index.query(vector=vector(3), top_k=3, namespace="v2", include_values=True, include_metadata=True)
    assert answer.namespace == "v2"
    assert answer.matches[0].id == "7.3"
    assert answer.matches[0].score == pytest.approx(1, abs=1e-5)
    assert packed(answer.matches[0].values) == packed(vector(3))
    assert answer.matches[0].metadata == vectors(4)[3]["metadata"]
    scores = [match.score for match in answer.matches]
    assert scores == sorted(scores, reverse=True)
    assert [m.id for m in index.query(id="7.3", top_k=3, namespace="v2").matches] == [m.id for m in answer.matches]


def test_a_query_without_the_asked_for_parts_or_the_namespace(index: Any) -> None:
    index.upsert(vectors=vectors(2), namespace="v2")
    match = index.query(vector=vector(1), top_k=1, namespace="v2").matches[0]
    assert not match.values
    assert not match.metadata
    assert index.query(vector=vector(1), top_k=1, namespace="never written").matches == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"n": {"$gte": 18}}, [18, 19]),
        ({"name": "ñ 4"}, [4]),
        ({"tags": {"$in": ["t2", "t5"]}}, [2, 5]),
        ({"$or": [{"n": 1}, {"$and": [{"even": True}, {"n": {"$lt": 3}}]}]}, [0, 1, 2]),
        ({"missing": {"$exists": True}}, []),
    ],
)
def test_a_query_is_filtered_by_metadata(index: Any, expression: dict[str, Any], expected: list[int]) -> None:
    index.upsert(vectors=vectors(20), namespace="v2")
    answer = index.query(vector=vector(3), top_k=20, namespace="v2", filter=expression)
    assert sorted(match.id for match in answer.matches) == sorted(f"7.{n}" for n in expected)


def test_fetch_by_metadata_goes_page_by_page(index: Any) -> None:
    index.upsert(vectors=vectors(7), namespace="v2")
    first = index.fetch_by_metadata(filter={"tags": "x"}, namespace="v2", limit=4)
    rest = index.fetch_by_metadata(
        filter={"tags": "x"}, namespace="v2", limit=4, pagination_token=first.pagination.next
    )
    assert sorted([*first.vectors, *rest.vectors]) == [f"7.{n}" for n in range(7)]
    assert rest.pagination is None


def test_delete_by_ids_by_filter_and_all(index: Any) -> None:
    index.upsert(vectors=vectors(6), namespace="v2")
    index.delete(ids=["7.0", "unknown"], namespace="v2")
    index.delete(filter={"n": {"$gt": 3}}, namespace="v2")
    assert sorted(index.fetch(ids=[f"7.{n}" for n in range(6)], namespace="v2").vectors) == ["7.1", "7.2", "7.3"]
    index.delete(delete_all=True, namespace="v2")
    assert index.describe_index_stats().namespaces["v2"].vector_count == 0


def test_ids_are_listed_by_prefix_and_page(index: Any) -> None:
    index.upsert(vectors=[*vectors(5), {"id": "8.0", "values": vector(0)}], namespace="v2")
    first = index.list_paginated(prefix="7.", limit=3, namespace="v2")
    rest = index.list_paginated(prefix="7.", limit=3, namespace="v2", pagination_token=first.pagination.next)
    assert [item.id for item in [*first.vectors, *rest.vectors]] == [f"7.{n}" for n in range(5)]
    assert rest.pagination is None


def test_stats_count_by_namespace_and_by_filter(index: Any) -> None:
    index.upsert(vectors=vectors(4), namespace="v2")
    index.upsert(vectors=vectors(1))
    stats = index.describe_index_stats()
    assert stats.dimension == DIMENSION
    assert stats.metric == "cosine"
    assert {name: summary.vector_count for name, summary in stats.namespaces.items()} == {"v2": 4, "__default__": 1}
    assert index.describe_index_stats(filter={"even": True}).total_vector_count == 3


def test_namespaces_are_created_listed_described_and_deleted(index: Any) -> None:
    created = index.create_namespace(name="made", schema={"fields": {"city": {"filterable": True}}})
    assert created.indexed_fields.fields == ["city"]
    index.upsert(vectors=vectors(3), namespace="v2")
    page = index.list_namespaces_paginated(limit=1)
    assert page.total_count == 2
    assert [item.name for item in page.namespaces] == ["made"]
    assert index.describe_namespace(name="v2").record_count == 3
    index.delete_namespace(name="v2")
    with pytest.raises(pinecone.NotFoundError, match="Namespace not found"):
        index.describe_namespace(name="v2")
    with pytest.raises(pinecone.NotFoundError):
        index.delete(delete_all=True, namespace="v2")


def test_a_batched_upsert_arrives_whole(index: Any, server: testing.Process) -> None:
    batch = vectors(230)
    answer = index.upsert(vectors=batch, namespace="v2", batch_size=50, show_progress=False)
    assert answer.upserted_count == 230
    assert not answer.has_errors
    expected = {item["id"]: hashlib.sha256(packed(item["values"])).hexdigest() for item in batch}
    dumped = {line["id"]: line for line in server.dump("main", "v2")}
    assert {name: line["sha256"] for name, line in dumped.items()} == expected
    assert dumped["7.3"]["metadata"] == batch[3]["metadata"]


def test_indexes_are_created_configured_and_deleted(client: Pinecone) -> None:
    model = client.create_index(
        name="other", dimension=3, metric="euclidean", spec=SPEC, deletion_protection="enabled", tags={"a": "b"}
    )
    assert model.status.ready
    assert (model.dimension, model.metric, model.deployment.cloud) == (3, "euclidean", "aws")
    assert sorted(item.name for item in client.list_indexes()) == ["main", "other"]
    with pytest.raises(pinecone.ApiError, match="already exists"):
        client.create_index(name="other", dimension=3, spec=SPEC)
    with pytest.raises(pinecone.ForbiddenError, match="Deletion protection"):
        client.delete_index("other")
    client.configure_index("other", deletion_protection="disabled", tags={"a": "", "c": "d"})
    assert client.describe_index("other").tags == {"c": "d"}
    client.delete_index("other")
    assert not client.has_index("other")
    with pytest.raises(pinecone.NotFoundError):
        client.describe_index("other")


@pytest.mark.parametrize("grpc", [False, True])
def test_each_index_has_a_host_of_its_own(client: Pinecone, server: testing.Process, grpc: bool) -> None:
    client.create_index(name="second", dimension=2, metric="dotproduct", spec=SPEC)
    assert client.describe_index("second").host != server.url
    with client.index("second", grpc=grpc) as second:
        second.upsert(vectors=[("a", [1.0, 2.0])])
        assert second.query(vector=[3.0, 4.0], top_k=1).matches[0].score == pytest.approx(11)
    with client.index("main", grpc=grpc) as main:
        assert main.describe_index_stats().dimension == DIMENSION
    client.delete_index("second")


async def test_the_asyncio_client_works_too(client: Pinecone, server: testing.Process) -> None:
    async with AsyncPinecone(api_key="any", host=server.url) as asynchronous:
        assert (await asynchronous.indexes.describe("main")).host == server.url
        async with await asynchronous.index("main") as index:
            assert (await index.upsert(vectors=vectors(3), namespace="aio")).upserted_count == 3
            answer = await index.query(vector=vector(2), top_k=1, namespace="aio")
            assert answer.matches[0].id == "7.2"
            await index.delete_namespace(name="aio")


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    with testing.running(tmp_path) as server:
        with Pinecone(api_key="any", host=server.url, grpc_scheme="http") as client:
            client.create_index(name="first", dimension=DIMENSION, metric="cosine", spec=SPEC)
            client.create_index(name="second", dimension=2, metric="cosine", spec=SPEC)
            hosts = {name: client.describe_index(name).host for name in ("first", "second")}
            with client.index("first", grpc=True) as index:
                index.upsert(vectors=vectors(50), namespace="v2")
                index.delete(ids=["7.0"], namespace="v2")
                before = server.dump("first", "v2")
        server.kill_and_restart()
        assert server.dump("first", "v2") == before
        assert len(before) == 49
        with Pinecone(api_key="any", host=server.url, grpc_scheme="http") as client:
            assert {name: client.describe_index(name).host for name in hosts} == hosts


def test_a_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with testing.running(tmp_path), pytest.raises(RuntimeError, match="did not start"):
        testing.Process(tmp_path)


def test_sigterm_exits_cleanly_with_connections_open(tmp_path: Path) -> None:
    server = testing.Process(tmp_path)
    client = Pinecone(api_key="any", host=server.url, grpc_scheme="http")
    client.create_index(name="first", dimension=2, metric="cosine", spec=SPEC)
    index = client.index("first", grpc=True)
    index.upsert(vectors=[("a", [1.0, 2.0])])
    assert server.stop() == 0
    index.close()
    client.close()

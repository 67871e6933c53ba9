"""What Pinecone refuses is refused in its words, over REST and gRPC, and nothing of it is stored."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pinecone
import pytest
from pinecone import Pinecone, RetryConfig, ServerlessSpec

from sandbox.pinecone import testing, wire

DIMENSION = 4
FINE = [1.0, 2.0, 3.0, 4.0]
ONCE = RetryConfig(max_retries=0)
KEY = {"Api-Key": "any"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone")) as process:
        with Pinecone(api_key="any", host=process.url) as client:
            spec = ServerlessSpec(cloud="aws", region="us-east-1")
            client.create_index(name="main", dimension=DIMENSION, metric="cosine", spec=spec)
        yield process


@pytest.fixture(params=["rest", "grpc"])
def index(server: testing.Process, request: pytest.FixtureRequest) -> Iterator[Any]:
    with (
        Pinecone(api_key="any", host=server.url, grpc_scheme="http", retry_config=ONCE) as client,
        client.index("main", grpc=request.param == "grpc") as index,
    ):
        yield index
        assert index.describe_index_stats().total_vector_count == 0, "a refused upsert stored something"


def refused(index: Any, vectors: list[Any], message: str) -> None:
    with pytest.raises(pinecone.ApiError, match=message) as caught:
        index.upsert(vectors=vectors, namespace="v2")
    assert caught.value.status_code == 400


def test_a_wrong_dimension(index: Any) -> None:
    refused(index, [("a", [1.0, 2.0])], "Vector dimension 2 does not match the dimension of the index 4")


def test_an_all_zero_vector_refuses_its_whole_batch(index: Any) -> None:
    message = "Dense vectors must contain at least one non-zero value. Vector ID 'b' contains only zeros"
    refused(index, [("a", FINE), ("b", [0.0] * DIMENSION)], message)


def test_metadata_over_40_kb(index: Any) -> None:
    message = "Metadata size is 41011 bytes, which exceeds the limit of 40960 bytes per vector"
    refused(index, [("a", FINE, {"text": "x" * 41_000})], message)


def test_over_1000_vectors(index: Any) -> None:
    refused(index, [(str(number), FINE) for number in range(1_001)], "found 1001, max 1000")


def test_over_2_mb(index: Any) -> None:
    vectors = [(str(number), FINE, {"text": "x" * 40_000}) for number in range(60)]
    # The SDK raises an ApiError for the 400 of REST and its base class for the OUT_OF_RANGE of gRPC.
    with pytest.raises(
        pinecone.PineconeError, match=r"message length too large: found 24\d+ bytes, the limit is: 2097152 bytes"
    ):
        index.upsert(vectors=vectors, namespace="v2")


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_values_that_are_not_finite(server: testing.Process, value: float) -> None:
    with pytest.raises(grpc.RpcError, match="not finite"):
        upsert_raw(server, upsert_of([1.0, value, 1.0, 1.0]))


def test_tiny_and_huge_values_are_not_taken_for_zero_or_infinite(index: Any) -> None:
    assert index.upsert(vectors=[("a", [1e-30, 0, 0, 0]), ("b", [1e30, 0, 0, 0])], namespace="v2").upserted_count == 2
    index.delete(ids=["a", "b"], namespace="v2")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/vectors/upsert", {"vectors": [{"id": "ñ", "values": FINE}]}, "Vector ID must be ASCII, but got 'ñ'"),
        ("/vectors/upsert", {"vectors": [{"id": "", "values": FINE}]}, "Vector ID must not be empty"),
        ("/vectors/upsert", {"vectors": [{"id": "x" * 513, "values": FINE}]}, "513 exceeds the limit of 512"),
        ("/vectors/upsert", {"vectors": [{"id": "a", "values": ["x"]}]}, "values must be a list of numbers"),
        ("/vectors/upsert", {"vectors": [{"id": "a", "values": FINE, "metadata": {"n": None}}]}, "got 'null'"),
        (
            "/vectors/upsert",
            {"vectors": [{"id": "a", "values": FINE, "metadata": {"odd": [1758694138, 0, 1]}}]},
            # As the real one words it.
            "Metadata value must be a string, number, boolean or list of strings, got '[1758694138.0,0....' for field",
        ),
        ("/vectors/upsert", {"vectors": []}, "No vectors"),
        ("/query", {"vector": FINE, "topK": 10_001}, "topK must be between 1 and 10000"),
        ("/query", {"vector": FINE, "topK": 0}, "topK must be between 1 and 10000"),
        ("/query", {"topK": 1}, "exactly one of"),
        ("/query", {"vector": [1.0], "topK": 1}, "Vector dimension 1 does not match"),
        ("/query", {"vector": FINE, "topK": 1, "filter": {"a": {"$near": 1}}}, "is not a valid operator"),
        ("/vectors/delete", {"ids": [str(n) for n in range(1_001)]}, "found 1001, max 1000"),
        ("/vectors/delete", {"ids": ["a"], "deleteAll": True}, "exactly one of"),
    ],
)
def test_a_bad_request_has_the_error_body_of_google_rpc_status(
    server: testing.Process, path: str, body: dict[str, Any], message: str
) -> None:
    answer = httpx.post(server.url + path, json=body, headers=KEY)
    assert answer.status_code == 400
    assert answer.json()["code"] == 3
    assert message in answer.json()["message"]
    assert answer.json()["details"] == []


def test_a_request_of_the_wrong_shape_is_answered_and_the_next_one_too(server: testing.Process) -> None:
    for body in ({"ids": [1]}, {"ids": {"a": 1}}, {"filter": []}, [1], {"namespace": 7, "ids": ["a"]}):
        answer = httpx.post(f"{server.url}/vectors/delete", json=body, headers=KEY)
        assert (answer.status_code, sorted(answer.json())) == (400, ["code", "details", "message"])


def test_control_plane_errors_have_a_body_of_their_own(server: testing.Process) -> None:
    answer = httpx.get(f"{server.url}/indexes/absent", headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    schema = {"fields": {"_values": {"type": "dense_vector", "dimension": 20_001, "metric": "cosine"}}}
    answer = httpx.post(f"{server.url}/indexes", json={"name": "wide", "schema": schema}, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_older_api_versions_get_the_shape_that_they_know(server: testing.Process) -> None:
    answer = httpx.get(f"{server.url}/indexes/main", headers={**KEY, "X-Pinecone-Api-Version": "2025-10"}).json()
    assert (answer["dimension"], answer["metric"], answer["spec"]["serverless"]["cloud"]) == (
        DIMENSION,
        "cosine",
        "aws",
    )


def test_a_version_that_is_not_served_becomes_the_oldest_without_a_word(server: testing.Process) -> None:
    for asked, served in (("2026-07", "2026-07"), ("2024-07", "2025-10"), ("2031-01", "2025-10"), (None, "2025-10")):
        headers = KEY | ({"X-Pinecone-Api-Version": asked} if asked else {})
        answer = httpx.get(f"{server.url}/indexes/main", headers=headers)
        assert answer.headers["x-pinecone-api-version"] == served
        assert ("schema" in answer.json()) == (served == "2026-07")


def upsert_of(values: list[float]) -> bytes:
    """Return an UpsertRequest of one vector."""
    vector = b"\x0a\x01a\x12" + wire.varint(4 * len(values)) + struct.pack(f"<{len(values)}f", *values)
    return b"\x0a" + wire.varint(len(vector)) + vector


def upsert_raw(server: testing.Process, body: bytes, key: str | None = "any") -> bytes:
    with grpc.insecure_channel(server.url.removeprefix("http://")) as channel:
        metadata = () if key is None else (("api-key", key),)
        answer: bytes = channel.unary_unary("/VectorService/Upsert")(body, metadata=metadata, timeout=10)
        return answer


def test_a_call_without_a_key_is_unauthenticated(server: testing.Process) -> None:
    assert httpx.post(f"{server.url}/query", json={}).status_code == 401
    assert httpx.get(f"{server.url}/indexes").status_code == 401
    with pytest.raises(grpc.RpcError) as caught:
        upsert_raw(server, b"", key=None)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_bytes_that_are_no_message_are_refused(server: testing.Process) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        upsert_raw(server, b"\x0a\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_only_the_configured_key_is_accepted(tmp_path: Path) -> None:
    with testing.running(tmp_path, "--api-key", "secret") as server:
        assert httpx.get(f"{server.url}/indexes", headers=KEY).status_code == 401
        assert httpx.get(f"{server.url}/indexes", headers={"Api-Key": "secret"}).status_code == 200
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_upserts_over_the_rate_are_told_when_to_come_back(tmp_path: Path) -> None:
    body = upsert_of(FINE)
    with testing.running(tmp_path, "--upserts-per-second", "1") as server:
        with Pinecone(api_key="any", host=server.url) as client:
            spec = ServerlessSpec(cloud="aws", region="us-east-1")
            client.create_index(name="main", dimension=DIMENSION, metric="cosine", spec=spec)
        assert upsert_raw(server, body) == b"\x08\x01"

        def over() -> None:
            for _ in range(10):  # one that takes a second is not over the rate
                upsert_raw(server, body)

        with pytest.raises(grpc.RpcError) as caught:
            over()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "upsert QPS limit for namespace __default__ (1 QPS)" in str(caught.value.details())
        assert ("retry-after", "1") in [tuple(item) for item in caught.value.trailing_metadata()]
        other = {"vectors": [{"id": "a", "values": FINE}], "namespace": "other"}
        with httpx.Client(base_url=server.url, headers=KEY) as client:
            answers = [client.post("/vectors/upsert", json=other) for _ in range(10)]
        assert answers[0].status_code == 200
        answer = next(each for each in answers if each.status_code != 200)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (429, "1", 8)


def make(server: testing.Process, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    headers = KEY | {"X-Pinecone-Api-Version": "2026-07"}
    httpx.post(f"{server.url}/indexes", json={"name": name, "schema": schema}, headers=headers).raise_for_status()
    described: dict[str, Any] = httpx.get(f"{server.url}/indexes/{name}", headers=headers).json()
    return described


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"_sparse_values": {"type": "sparse_vector"}}, "sparse values are required"),
        (
            {"own": {"type": "dense_vector", "dimension": 4, "metric": "cosine"}, "title": {"type": "string"}},
            "documents API",
        ),
    ],
)
def test_an_index_of_another_kind_refuses_dense_vectors(tmp_path: Path, fields: Any, words: str) -> None:
    with testing.running(tmp_path) as server:
        described = make(server, "other", {"fields": fields})
        assert set(described["schema"]["fields"]) == set(fields)
        body = {"vectors": [{"id": "a", "values": FINE}]}
        for path, asked in (("/vectors/upsert", body), ("/query", {"vector": FINE, "topK": 1})):
            answer = httpx.post(described["host"] + path, json=asked, headers=KEY)
            assert (answer.status_code, words in answer.json()["message"]) == (400, True)


def test_a_moved_index_is_found_only_where_it_is(tmp_path: Path) -> None:
    dense = {"_values": {"type": "dense_vector", "dimension": 4, "metric": "cosine"}}
    with testing.running(tmp_path) as server:
        before = make(server, "main", {"fields": dense})["host"]
        server.move("main")
        after = httpx.get(f"{server.url}/indexes/main", headers=KEY).json()["host"]
        body = {"vectors": [{"id": "a", "values": FINE}]}
        assert after != before
        assert httpx.post(f"{before}/vectors/upsert", json=body, headers=KEY).status_code == 404
        assert httpx.post(f"{after}/vectors/upsert", json=body, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"ids": [str(number) for number in range(1_000)]}, "max delete records per second for namespace __default__"),
        ({"filter": {"n": 1}}, "max delete by metadata requests per second for namespace __default__"),
    ],
)
def test_deletes_are_limited_as_pinecone_limits_them(server: testing.Process, asked: Any, words: str) -> None:
    """Five a second, which any machine is faster than; the others are tried by a clock of their own."""
    with httpx.Client(
        base_url=server.url, headers=KEY
    ) as client:  # one connection: else it is slower than five a second
        for _ in range(100):
            answer = client.post("/vectors/delete", json=asked)
            if answer.status_code == 429:
                break
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, 8, "1")
    assert words in answer.json()["message"]


def test_the_bytes_of_a_second_are_bounded_by_themselves(tmp_path: Path) -> None:
    with testing.running(tmp_path, "--bytes-per-second", "100", "--upserts-per-second", "0") as server:
        make(server, "main", {"fields": {"_values": {"type": "dense_vector", "dimension": 4, "metric": "cosine"}}})
        body = {"vectors": [{"id": str(number), "values": FINE} for number in range(10)]}
        assert httpx.post(f"{server.url}/vectors/upsert", json=body, headers=KEY).status_code == 200
        answer = httpx.post(f"{server.url}/vectors/upsert", json=body, headers=KEY)
        assert (answer.status_code, "max upsert size limit" in answer.json()["message"]) == (429, True)


def test_units_are_counted_as_pinecone_bills_them(tmp_path: Path) -> None:
    """FACTS of its price list: a million rows of 1,536 values and 1 KB of metadata are 7.15 million write units."""
    schema = {"fields": {"_values": {"type": "dense_vector", "dimension": 1_536, "metric": "cosine"}}}
    with testing.running(tmp_path) as server, httpx.Client(headers=KEY) as client:
        url = make(server, "main", schema)["host"]
        rows = [
            {"id": f"{number:07d}", "values": [1.0] * 1_536, "metadata": {"text": "x" * 980}} for number in range(100)
        ]

        def units(method: str, path: str, **asked: Any) -> tuple[float, float]:
            server.forget_requests()
            refused = asked.pop("refused", False)
            assert client.request(method, url + path, **asked).is_error is refused
            report = server.requests()
            return report["write_units"], report["read_units"]

        first, _ = units("POST", "/vectors/upsert", json={"vectors": rows})
        assert first / 100 == pytest.approx(7.15, abs=0.05)
        again, _ = units("POST", "/vectors/upsert", json={"vectors": rows})
        assert again == pytest.approx(2 * first, abs=2), "what is replaced counts again"
        assert units("POST", "/vectors/upsert", json={"vectors": rows[:1]}) == (8 + 8, 0)
        small = {"vectors": [{"id": "s", "values": [1.0] * 1_536}]}
        assert units("POST", "/vectors/upsert", json=small)[0] == 7
        ids = "&".join(f"ids={row['id']}" for row in rows[:95])
        assert units("GET", f"/vectors/fetch?{ids}") == (0, 10)
        assert units("GET", f"/vectors/fetch?{'&'.join(['ids=0000001'] * 50)}") == (0, 1), "an id twice costs once"
        assert units("GET", "/vectors/fetch?ids=nobody") == (0, 1)
        assert units("POST", "/vectors/upsert", json={"vectors": [rows[0] | {"values": [1.0]}]}, refused=True) == (0, 0)
        assert units("GET", "/vectors/list") == (0, 1)
        assert units("POST", "/query", json={"vector": [1.0] * 1_536, "topK": 1}) == (0, 0.25)
        deleted, _ = units("POST", "/vectors/delete", json={"ids": [row["id"] for row in rows[:10]]})
        assert deleted == pytest.approx(71.5, abs=1)
        assert units("POST", "/vectors/delete", json={"ids": [rows[20]["id"]] * 9 + ["nobody"]}) == (8, 0)
        assert units("POST", "/vectors/delete", json={"deleteAll": True}) == (5, 0)


def test_a_month_that_is_used_up_takes_no_more_writes(tmp_path: Path) -> None:
    schema = {"fields": {"_values": {"type": "dense_vector", "dimension": 4, "metric": "cosine"}}}
    with testing.running(tmp_path, "--write-units-per-month", "10") as server, httpx.Client(headers=KEY) as client:
        url = make(server, "main", schema)["host"]
        body = {"vectors": [{"id": "a", "values": FINE}]}
        assert [client.post(f"{url}/vectors/upsert", json=body).status_code for _ in range(3)] == [200, 200, 429]
        for path, asked in (("/vectors/upsert", body), ("/vectors/delete", {"ids": ["a"]})):
            answer = client.post(url + path, json=asked)
            assert answer.status_code == 429
            assert "write unit limit for the current month" in answer.json()["message"]
            assert "retry-after" not in answer.headers
        assert client.post(f"{url}/query", json={"vector": FINE, "topK": 1}).status_code == 200

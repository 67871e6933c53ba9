"""Upserts on the wire: what we pack by hand is what protobuf would have written, and fits the provider's limits."""

from hypothesis import given
from hypothesis import strategies as st
from vectorline.v1 import pinecone_pb2

from services.indexer import pinecone_batch


def vector(vector_id: str, values: bytes, metadata: bytes) -> pinecone_batch.Vector:
    return pinecone_batch.Vector(vector_id, memoryview(values), metadata)


records = st.tuples(st.text(max_size=40), st.binary(max_size=300), st.binary(max_size=300))


@given(st.lists(records, max_size=8), st.text(min_size=1, max_size=200))
def test_the_packed_request_is_protobuf_s(found: list[tuple[str, bytes, bytes]], namespace: str) -> None:
    expected = pinecone_pb2.PineconeUpsertRequest(
        namespace=namespace,
        vectors=[pinecone_pb2.PineconeVector(id=id_, values=values, metadata=data) for id_, values, data in found],
    )

    packed = pinecone_batch.pack([vector(*record) for record in found], namespace)

    assert pinecone_pb2.PineconeUpsertRequest.FromString(packed) == expected


@given(st.lists(st.integers(0, 700_000), max_size=12))
def test_batches_fit_one_upsert_and_keep_every_record_in_order(sizes: list[int]) -> None:
    vectors = [vector(f"v{number}", bytes(size), b"m") for number, size in enumerate(sizes)]

    batches = list(pinecone_batch.batches(vectors))

    assert [each for _, batch in batches for each in batch] == vectors
    assert [start for start, _ in batches] == [vectors.index(batch[0]) for _, batch in batches]
    assert all(len(pinecone_batch.pack(batch, "namespace")) <= 2 * 1024 * 1024 for _, batch in batches)
    assert all(len(batch) <= pinecone_batch.UPSERT_VECTORS for _, batch in batches)


def test_small_records_are_limited_by_number() -> None:
    vectors = [vector(f"v{number}", b"1234", b"") for number in range(2_500)]

    assert [len(batch) for _, batch in pinecone_batch.batches(vectors)] == [1_000, 1_000, 500]
    assert [len(batch) for _, batch in pinecone_batch.batches(vectors[:250], most=100)] == [100, 100, 50]

"""A chunk's rows on their way to the indexer: what we pack by hand is what protobuf would have written."""

from hypothesis import given
from hypothesis import strategies as st
from vectorline.v1 import chunk_pb2, indexer_pb2

from services.chunks import entry
from services.embedder.working import rows

record = st.builds(
    chunk_pb2.Row,
    row_number=st.integers(1, 2**40),
    vector_id=st.text(min_size=1, max_size=20),
    text=st.sampled_from(["one", "two", "three"]),
    metadata=st.binary(max_size=50),
)


def decoded(records: list[chunk_pb2.Row], common: bytes = b"common") -> rows.Rows:
    message = chunk_pb2.ChunkRows(namespace="n", rows=records, common_metadata=common)
    return rows.decode(entry.pack(message.SerializeToString()))


@given(st.lists(record, min_size=1, max_size=20))
def test_batches_are_what_protobuf_would_have_written(records: list[chunk_pb2.Row]) -> None:
    content = decoded(records)
    vectors = [text.encode().ljust(8) for text in content.texts]

    packed = list(rows.batches([rows.Stretch(content, range(len(records)), vectors)]))

    expected = indexer_pb2.VectorBatch(
        ids=[each.vector_id for each in records],
        values=b"".join(each.text.encode().ljust(8) for each in records),
        metadata=[each.metadata + b"common" for each in records],
        row_numbers=[each.row_number for each in records],
    )
    assert [indexer_pb2.IndexChunkRequest.FromString(each).vectors for each in packed] == [expected]


def test_a_batch_stays_near_one_upsert() -> None:
    records = [chunk_pb2.Row(row_number=n, vector_id=f"v{n}", text=f"t{n}", metadata=b"m") for n in range(1, 701)]
    content = decoded(records)

    packed = list(rows.batches([rows.Stretch(content, range(700), [bytes(6144)] * 700)]))

    found = [indexer_pb2.IndexChunkRequest.FromString(each).vectors for each in packed]
    assert all(len(each) < rows.BATCH_BYTES + 100_000 for each in packed)
    assert [number for each in found for number in each.row_numbers] == list(range(1, 701))


def test_equal_texts_are_bought_once() -> None:
    content = decoded([chunk_pb2.Row(row_number=n, vector_id=f"v{n}", text="same") for n in (1, 2, 3)])

    assert content.texts == ["same"]
    assert content.text_of == [0, 0, 0]

"""A chunk's rows, decoded: unique texts to buy, and the batches that go to the indexer as they are bought."""

import dataclasses
from collections.abc import Iterator, Sequence

from vectorline.v1 import chunk_pb2, indexer_pb2

from services.chunks import entry
from services.runtime import failpoints

# A batch stays near one upsert of the index, and far under the gRPC message limit.
BATCH_BYTES = 1_900_000
# Reason of a row whose text the provider refuses for its content.
REFUSED = "embedding_refused"


@dataclasses.dataclass(frozen=True)
class Rows:
    """What a chunk holds. `texts` are unique, in row order; `text_of` says which one each row has."""

    content: chunk_pb2.ChunkRows
    texts: list[str]
    text_of: list[int]


def decode(payload: bytes) -> Rows:
    """Decode a payload. CPU work: to be done under a strike, in a thread.

    Raises:
        services.chunks.errors.CorruptEntryError: It does not unpack.
        google.protobuf.message.DecodeError: It is no ChunkRows.
    """
    content = chunk_pb2.ChunkRows.FromString(entry.unpack(payload))
    failpoints.hit("embedder.decode", lambda: "\n".join(row.text for row in content.rows))
    numbers: dict[str, int] = {}
    text_of = [numbers.setdefault(row.text, len(numbers)) for row in content.rows]
    return Rows(content, list(numbers), text_of)


def batches(rows: Rows, positions: Sequence[int], vectors: Sequence[bytes | None]) -> Iterator[indexer_pb2.VectorBatch]:
    """The rows at these positions as batches of at most about `BATCH_BYTES`; each has its text's vector."""
    common = rows.content.common_metadata
    ids: list[str] = []
    values: list[bytes] = []
    metadata: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for position in positions:
        row = rows.content.rows[position]
        vector = vectors[rows.text_of[position]]
        assert vector is not None
        bytes_ = len(vector) + len(row.metadata) + len(common) + len(row.vector_id)
        if ids and size + bytes_ > BATCH_BYTES:
            yield indexer_pb2.VectorBatch(ids=ids, values=b"".join(values), metadata=metadata, row_numbers=numbers)
            ids, values, metadata, numbers, size = [], [], [], [], 0
        ids.append(row.vector_id)
        values.append(vector)
        metadata.append(row.metadata + common)
        numbers.append(row.row_number)
        size += bytes_
    if ids:
        yield indexer_pb2.VectorBatch(ids=ids, values=b"".join(values), metadata=metadata, row_numbers=numbers)


def refusals(rows: Rows, positions: Sequence[int], words: dict[int, str]) -> Iterator[chunk_pb2.Reject]:
    """Rejects of the rows whose text the provider refused."""
    for position in positions:
        text = rows.text_of[position]
        yield chunk_pb2.Reject(
            row_number=rows.content.rows[position].row_number,
            reason=REFUSED,
            message=f"The embedding provider refuses this text: {words[text]}",
        )

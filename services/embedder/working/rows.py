"""A chunk's rows, decoded: unique texts to buy, and the batches that go to the indexer as they are bought."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from vectorline.v1 import chunk_pb2

from services.chunks import entry
from services.embedder.buying import pending_batch
from services.runtime import failpoints, wire

# A batch stays near one upsert of the index, and far under the gRPC message limit.
BATCH_BYTES = 1_900_000
WORDS = {
    pending_batch.REFUSED: "The embedding provider refuses this text",
    pending_batch.UNUSABLE: "The embedding provider gives no usable embedding for this text, and does for others",
}


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


class _Batch:
    """An `IndexChunkRequest` with a `VectorBatch`, packed by hand: see `wire`."""

    def __init__(self) -> None:
        self.size = 0
        self._ids: list[bytes] = []
        self._values: list[bytes] = []
        self._metadata: list[bytes] = []
        self._numbers: list[bytes] = []

    def add(self, row: chunk_pb2.Row, vector: bytes, common: bytes) -> None:
        metadata = row.metadata + common
        self._ids.append(wire.field(1, row.vector_id.encode()))
        self._values.append(vector)
        self._metadata += (wire.head(3, len(metadata)), metadata)
        self._numbers.append(wire.varint(row.row_number))
        self.size += len(vector) + len(metadata)

    def pack(self) -> bytes:
        values = wire.head(2, sum(map(len, self._values)))
        parts = (*self._ids, values, *self._values, *self._metadata, wire.field(4, b"".join(self._numbers)))
        return b"".join((wire.head(2, sum(map(len, parts))), *parts))


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Rows of a chunk at some positions, each with its text's vector, which is there."""

    rows: Rows
    positions: Sequence[int]
    vectors: Sequence[bytes | None]


def batches(stretches: Iterable[Stretch]) -> Iterator[bytes]:
    """The rows of one chunk or of several, in this order.

    Yields:
        Serialised `IndexChunkRequest`s, each with a `VectorBatch` of at most about `BATCH_BYTES`; an
        `IndexChunksRequest` of that batch has the same bytes.
    """
    batch = _Batch()
    for stretch in stretches:
        rows, vectors = stretch.rows, stretch.vectors
        common = rows.content.common_metadata
        for position in stretch.positions:
            row = rows.content.rows[position]
            vector = vectors[rows.text_of[position]]
            assert vector is not None
            if batch.size and batch.size + len(vector) + len(row.metadata) + len(common) > BATCH_BYTES:
                yield batch.pack()
                batch = _Batch()
            batch.add(row, vector, common)
    if batch.size:
        yield batch.pack()


def refusals(
    rows: Rows, positions: Sequence[int], refused: dict[int, pending_batch.Refusal]
) -> Iterator[chunk_pb2.Reject]:
    """Rejects of the rows whose text the provider refused, or had no embedding for."""
    for position in positions:
        refusal = refused[rows.text_of[position]]
        yield chunk_pb2.Reject(
            row_number=rows.content.rows[position].row_number,
            reason=refusal.reason,
            message=f"{WORDS[refusal.reason]}: {refusal.words}",
        )

"""A batch of vectors for one upsert, and how an index may refuse it: shared by the hot path and the SDK's."""

import dataclasses
from collections.abc import Iterator, Sequence

from services.runtime import wire

# https://docs.pinecone.io/reference/api/database-limits: 2 MB and 1,000 records a request; a little is left for
# the request's own framing.
UPSERT_BYTES = 2_000_000 - 4_096
UPSERT_VECTORS = 1_000
# Tag and length of one vector and of its three fields, at most.
FRAMING_BYTES = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Vector:
    """One record of Pinecone's wire (`PineconeVector` in protos/), its values still where they came."""

    id: str
    # float32 little-endian.
    values: memoryview
    # A serialised google.protobuf.Struct.
    metadata: bytes

    def parts(self) -> tuple[bytes, memoryview, bytes]:
        """The record as a field of `PineconeUpsertRequest`: what joins to its bytes."""
        before = wire.field(1, self.id.encode()) + wire.head(2, len(self.values))
        after = wire.field(3, self.metadata)
        return wire.head(1, len(before) + len(self.values) + len(after)) + before, self.values, after


def pack(vectors: Sequence[Vector], namespace: str) -> bytes:
    """A `PineconeUpsertRequest`, serialised."""
    parts = [part for vector in vectors for part in vector.parts()]
    return b"".join((*parts, wire.field(2, namespace.encode())))


class IndexRefused(Exception):
    """The index refuses the content of a batch; bisecting finds the record."""


class IndexUnavailable(Exception):
    """The index does not take the batch now; the same batch may succeed later. `busy`: it is asked for too much."""

    def __init__(self, words: str, *, busy: bool = False) -> None:
        super().__init__(words)
        self.busy = busy


def batches(vectors: Sequence[Vector], most: int = UPSERT_VECTORS) -> Iterator[tuple[int, Sequence[Vector]]]:
    """Runs of at most `most` vectors that fit one upsert, each with the position of its first; order is kept."""
    start, size = 0, 0
    for position, vector in enumerate(vectors):
        bytes_ = len(vector.id) * 4 + len(vector.values) + len(vector.metadata) + FRAMING_BYTES
        if position > start and (size + bytes_ > UPSERT_BYTES or position - start == most):
            yield start, vectors[start:position]
            start, size = position, 0
        size += bytes_
    if start < len(vectors):
        yield start, vectors[start:]

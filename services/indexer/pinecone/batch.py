"""A batch of vectors for one upsert, and how an index may refuse it: shared by the hot path and the SDK's."""

import dataclasses
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf import struct_pb2

from services.runtime import errors, wire

# https://docs.pinecone.io/reference/api/database-limits: 2 MB and 1,000 records a request; a little is left for
# the request's own framing.
UPSERT_BYTES = 2_000_000 - 4_096
UPSERT_VECTORS = 1_000
BYTES_A_FLOAT = 4
BUSY = "PINECONE_BUSY"
# Tag and length of one vector and of its three fields, at most.
FRAMING_BYTES = 24


class Vector(NamedTuple):
    """One record of Pinecone's wire (`PineconeVector` in protos/), its values where they lie in some buffer.

    A tuple is made in a third of a dataclass's time.
    """

    id: str
    # float32 little-endian.
    values: memoryview
    # A serialised google.protobuf.Struct.
    metadata: bytes


class Batch:
    """Vectors of one upsert; their values are once in memory: views into the request, not into the buffer they came in.

    Args:
        vectors: At most `UPSERT_BYTES` of them; see `runs`.
        namespace: Where they go.
        owners: Of each vector, which of several chunks it is of; empty: all are one's.
    """

    __slots__ = ("namespace", "owners", "record_bytes", "request", "vectors")

    def __init__(self, vectors: Sequence[Vector], namespace: str, owners: Sequence[int] = ()) -> None:
        self.namespace = namespace
        self.owners = owners
        head = wire.head
        parts: list[bytes | memoryview] = []
        starts: list[int] = []
        size = 0
        # As Pinecone counts a record for its bill: id, values and metadata.
        self.record_bytes = 0
        for vector_id, values, metadata in vectors:
            name = vector_id.encode()
            before, after = head(1, len(name)) + name + head(2, len(values)), head(3, len(metadata))
            begin = head(1, len(before) + len(values) + len(after) + len(metadata)) + before
            self.record_bytes += len(name) + len(values) + len(metadata)
            starts.append(size + len(begin))
            size = starts[-1] + len(values) + len(after) + len(metadata)
            parts += (begin, values, after, metadata)
        # A `PineconeUpsertRequest`, serialised.
        self.request = b"".join((*parts, wire.field(2, namespace.encode())))
        view = memoryview(self.request)
        self.vectors: Sequence[Vector] = [
            Vector(vector.id, view[start : start + len(vector.values)], vector.metadata)
            for vector, start in zip(vectors, starts, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.vectors)

    def part(self, start: int, end: int) -> "Batch":
        """The vectors of some positions, as a batch of their own."""
        return Batch(self.vectors[start:end], self.namespace, self.owners[start:end])


def floats(values: bytes | memoryview) -> list[float]:
    """What float32 bytes hold, little-endian."""  # numpy would take 15 MB of memory, for nothing else in this service
    return list(struct.unpack(f"<{len(values) // BYTES_A_FLOAT}f", values))


def packed(values: Sequence[float]) -> bytes:
    """The same as float32 bytes, little-endian."""
    return struct.pack(f"<{len(values)}f", *values)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record as the index gives it back."""

    metadata: struct_pb2.Struct
    # float32 little-endian.
    values: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """What the index says of an upsert: records that it wrote, and where in the namespace's log; 0: it tells not."""

    count: int
    lsn: int = 0


class IndexRefused(Exception):
    """The index refuses the content of a batch; bisecting finds the record."""


class IndexUnavailable(Exception):
    """The index does not take the batch now; the same batch may succeed later.

    `busy`: it is asked for too much. `unanswered`: it may have taken it all the same, for its answer never came.
    """

    def __init__(self, words: str, *, busy: bool = False, unanswered: bool = False) -> None:
        super().__init__(words)
        self.busy = busy
        self.unanswered = unanswered


def unanswered(*, busy: bool) -> errors.Unavailable:
    """What a reader of the index hears that does not answer; `busy`: it is asked too often."""
    words = "Pinecone does not answer now."
    if busy:
        return errors.Unavailable(words, reason=BUSY, retry_seconds=1.0)
    return errors.Unavailable(words, reason="PINECONE_UNAVAILABLE", retry_seconds=1.0)


class IndexExhausted(Exception):
    """A quota of the plan is used up: no write is taken before a person acts, or the month ends. The index's words."""


class IndexUnconfirmed(Exception):
    """The index goes on saying that it wrote another number of records than it was sent. In a sentence."""


def runs(vectors: Sequence[Vector], most: int = UPSERT_VECTORS) -> Iterator[slice]:
    """Positions of at most `most` vectors each that fit one upsert, in order."""
    start, size = 0, 0
    for position, vector in enumerate(vectors):
        bytes_ = len(vector.id) * 4 + len(vector.values) + len(vector.metadata) + FRAMING_BYTES
        if position > start and (size + bytes_ > UPSERT_BYTES or position - start == most):
            yield slice(start, position)
            start, size = position, 0
        size += bytes_
    if start < len(vectors):
        yield slice(start, len(vectors))

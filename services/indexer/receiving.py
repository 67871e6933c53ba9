"""What comes with an IndexChunk or an IndexChunks call, decoded: work on a chunk's own bytes, done between two marks.

A message says one thing: what is coming, vectors, rejects, or what was paid. What is wrong with it is told, not raised:
the mark behind the decoding is owed first.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from google.protobuf import message
from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend
from services.indexer import indexing
from services.runtime import errors, failpoints, wire

# Tags of the fields `header` and `spent` of an IndexChunkRequest, as protobuf writes them before a message.
FRAMES = (wire.head(1, 0)[:1], wire.head(4, 0)[:1])
FRAME_BYTES = 4_096


@dataclasses.dataclass(frozen=True)
class Received:
    """A message, or what is wrong with it. Of vectors it holds one copy, not the message's."""

    headers: Sequence[indexer_pb2.IndexChunkHeader] = ()
    # With the headers: how many vectors come for each; None: as many as come.
    vectors: Sequence[int] | None = None
    parts: collections.deque[indexing.Part] = dataclasses.field(default_factory=collections.deque)
    # By place among the headers.
    rejects: Sequence[tuple[int, Sequence[chunk_pb2.Reject]]] = ()
    # Of each chunk, or of none.
    spends: Sequence[spend.Spend] = ()
    flaw: errors.ServiceError | None = None


class Reader(Protocol):
    """Decodes the messages of one kind of call."""

    decoding: Any
    decoded: Any

    def marked(self, raw: bytes, /) -> bool:
        """Whether decoding it stands between marks."""

    def read(self, raw: bytes, cutting: indexing.Cutting | None) -> Received:
        """Decode a message; `cutting`: of the chunks that were announced."""


class OneChunk:
    """Messages of IndexChunk."""

    decoding = indexer_pb2.IndexChunkResponse(decoding=indexer_pb2.Decoding())
    decoded = indexer_pb2.IndexChunkResponse(decoded=indexer_pb2.Decoded())

    def marked(self, raw: bytes, /) -> bool:
        """Not what is by its first field a header or what was paid, and short: nothing of a chunk's rows.

        The two are every chunk's; marks around them would be most of what is sent about a small one.
        """
        return len(raw) > FRAME_BYTES or raw[:1] not in FRAMES

    def read(self, raw: bytes, cutting: indexing.Cutting | None) -> Received:
        """See Reader."""
        try:
            request = indexer_pb2.IndexChunkRequest.FromString(raw)
            failpoints.hit("indexer.decode", lambda: "\n".join(request.vectors.ids))
            if request.HasField("header"):
                return Received(headers=[request.header])
            if request.HasField("vectors") and cutting is not None:
                return Received(parts=collections.deque(cutting.parts(request.vectors)))
            if request.HasField("spent"):
                return Received(spends=[spend.of_proto(request.spent)])
            return Received(rejects=[(0, request.rejects.rejects)])
        except message.DecodeError:
            return Received(flaw=errors.InvalidArgument("The message is no IndexChunkRequest."))
        except errors.ServiceError as error:
            return Received(flaw=error)


class SeveralChunks:
    """Messages of IndexChunks."""

    decoding = indexer_pb2.IndexChunksResponse(decoding=indexer_pb2.Decoding())
    decoded = indexer_pb2.IndexChunksResponse(decoded=indexer_pb2.Decoded())

    def marked(self, _raw: bytes, /) -> bool:
        """All are: there are few of them for so many chunks."""
        return True

    def read(self, raw: bytes, cutting: indexing.Cutting | None) -> Received:
        """See Reader."""
        try:
            request = indexer_pb2.IndexChunksRequest.FromString(raw)
            failpoints.hit("indexer.decode", lambda: "\n".join(request.vectors.ids))
            if request.HasField("heads"):
                return _announced(request.heads.chunks)
            if request.HasField("vectors") and cutting is not None:
                return Received(parts=collections.deque(cutting.parts(request.vectors)))
            return Received(spends=[spend.of_proto(each) for each in request.spends.spends])
        except message.DecodeError:
            return Received(flaw=errors.InvalidArgument("The message is no IndexChunksRequest."))
        except errors.ServiceError as error:
            return Received(flaw=error)


def _announced(heads: Sequence[indexer_pb2.ChunkHead]) -> Received:
    """Chunks that can go together.

    Raises:
        errors.InvalidArgument: They cannot.
    """
    kinds = {
        (each.task_id, each.fence, each.namespace, each.model, each.dimension)
        for each in (head.header for head in heads)
    }
    if len(kinds) != 1 or len({head.header.chunk for head in heads}) != len(heads):
        raise errors.InvalidArgument(
            "Chunks of one call are of one task, fence, namespace and model, and each is there once."
        )
    return Received(
        headers=[head.header for head in heads],
        vectors=[head.vectors for head in heads],
        rejects=[(place, head.rejects) for place, head in enumerate(heads)],
    )

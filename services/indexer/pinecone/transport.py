"""By which way vectors go into the index: packed by hand over gRPC, or by Pinecone's SDK over REST."""

from collections.abc import Sequence
from typing import Literal, Protocol

import structlog

from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import client, wire

log = structlog.get_logger()

# So long a first connection may take until REST is asked in its place.
CONNECT_SECONDS = 3.0

Choice = Literal["auto", "wire", "sdk"]


class Way(Protocol):
    """A way into the index; its failures mean the same whatever it speaks."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        """Write a batch; answers how many the index says it wrote, and where in its log.

        Raises:
            batches.IndexRefused: The content is refused.
            batches.IndexExhausted: A quota of the plan is used up.
            batches.IndexUnavailable: Anything else.
        """

    async def delete(self, namespace: str, ids: Sequence[str]) -> int:
        """Delete at most 1,000 ids; those that are not there do no harm. Raises what `upsert` does.

        Returns:
            Where in the namespace's log that is; 0: the index does not tell.
        """

    async def drop(self, namespace: str) -> None:
        """Drop a namespace with all that is in it; no effect on one that is not there. Raises what `upsert` does."""

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, batches.Record]:
        """The records that are there, by id; at most 100 are asked for.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """


class Transport:
    """Chooses the way into the index; `auto` is gRPC, and REST for an index that serves nothing else.

    Something compatible with Pinecone may speak REST only, and a proxy may let nothing else through. That is told
    from an outage by asking both: no gRPC has ever been heard from there, and REST answers at this moment. The wire is
    gone back to as soon as a connection of it is ready.
    """

    def __init__(
        self,
        index: client.Pinecone,
        wire: wire.Wire,
        rest: Way,
        choice: Choice,
    ) -> None:
        self._index = index
        self._wire = wire
        self._rest = rest
        self._choice = choice
        self._rest_told = False

    async def way(self) -> Way:
        """By which way to send at this moment."""
        return self._wire if await self._by_wire() else self._rest

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, batches.Record]:
        """See `Way`."""
        return await (await self.way()).fetch(namespace, ids)

    def find_anew(self) -> None:
        """The index does not answer: it may have been moved, or made anew elsewhere."""
        self._index.find_anew()

    async def compare(self, vector: batches.Vector) -> None:
        """An index that was made anew, of another kind or dimension, refuses everything: that is no row's fault.

        Raises:
            batches.IndexUnavailable: It was. The gate, asked before the next try, blocks the task and says why.
        """
        await self._index.look_again()
        if problem := self._index.problem:
            raise batches.IndexUnavailable(problem.message)
        made, held = len(vector.values) // batches.BYTES_A_FLOAT, self._index.dimension
        if held and held != made:
            raise batches.IndexUnavailable(f"The index has {held} values a vector, not {made}.")

    async def _by_wire(self) -> bool:
        if self._choice != "auto":
            return self._choice == "wire"
        if self._wire.proved:
            return True
        if await self._wire.connected(0.0 if self._rest_told else CONNECT_SECONDS):
            return True
        if not self._rest_told and not await self._index.answers():
            return True  # nothing answers: an outage, which the wire tells of
        self._tell()
        return False

    def _tell(self) -> None:
        if not self._rest_told:
            log.warning(
                "The index serves no gRPC but REST: vectors go by Pinecone's SDK, at five times the CPU. "
                "PINECONE_TRANSPORT=sdk asks for this, =wire forbids it.",
                action="pinecone_by_rest",
            )
        self._rest_told = True

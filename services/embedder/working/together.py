"""Small chunks that are bought at the same moment go to the indexer with one call, as the texts of one request are.

A call, upserts and a settlement of its own are most of what a chunk of a hundred rows costs. With others it has its own
end still. A call that breaks is not repeated: each of its chunks is then sent by itself, where it is judged for itself,
so no chunk suffers from another for longer than one call.
"""

import asyncio
import dataclasses

import structlog
from vectorline.v1 import indexer_pb2

from services.chunks import strikes
from services.chunks.delivery import Delivery
from services.embedder import indexer_client
from services.embedder.working import sending

log = structlog.get_logger()

# Chunks of a call, and slots that they fill together, at most: about what one request buys.
MOST, SLOTS = 20, 2.0
# Of a slot: a larger chunk gains little by company.
SMALL = 0.25
# A chunk with more of them goes by itself: what is said of all chunks is one message, and rejects carry their cells.
REJECT_BYTES, REFUSALS = 20_000, 20
# An indexer that has no such call, since it is of a release before, is not asked for it for so long.
UNSERVED_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Gone:
    """What became of a chunk that went with others. Without `settled` it is to be sent by itself.

    Args:
        settled: It is settled, with these counts.
        tried: Rows of it may have been written.
        seconds: How long its settlement was waited for.
    """

    settled: indexer_pb2.ChunkSettled | None = None
    tried: bool = True
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What chunks of a call have in common."""

    task_id: str
    fence: int
    namespace: str


@dataclasses.dataclass(eq=False)
class _Member:
    """A chunk that wants to go, and what will have become of it."""

    delivery: Delivery
    bought: sending.Bought
    end: asyncio.Future[Gone]


class _Group:
    """Chunks that go together."""

    def __init__(self) -> None:
        self.members: list[_Member] = []
        self.slots = 0.0
        self.call: asyncio.Task[None] | None = None

    def has_room(self, share: float) -> bool:
        """For a chunk that fills so much of a slot."""
        return len(self.members) < MOST and self.slots + share <= SLOTS

    async def leave(self) -> None:
        """Somebody waits no more; where nobody does, the call ends."""
        if self.call is not None and all(each.end.done() for each in self.members):
            self.call.cancel()
            await asyncio.gather(self.call, return_exceptions=True)


class Together:
    """Sends the small chunks of one process.

    Promises: each chunk is in one call at a time; whatever happens to a call, each of its chunks hears of it. Nothing
    waits for company: who is there in one turn of the event loop goes.
    """

    def __init__(self, indexer: indexer_client.Indexer, counter: strikes.Strikes) -> None:
        self._indexer = indexer
        self._strikes = counter
        self._forming: dict[_Kind, _Group] = {}
        self._unserved_until = 0.0

    def takes(self, delivery: Delivery, bought: sending.Bought, share: float) -> bool:
        """Whether a chunk goes with others, once it is bought.

        Not one with a strike, which is to have no company should it strike again, nor one whose trace is recorded,
        which is to show its own call.
        """
        return (
            share <= SMALL
            and delivery.strikes == 0
            and not bought.batch.traceparent
            and sum(each.ByteSize() for each in bought.content.content.rejects) <= REJECT_BYTES
            and asyncio.get_running_loop().time() >= self._unserved_until
        )

    async def send(self, delivery: Delivery, bought: sending.Bought, share: float) -> Gone:
        """Send a chunk of which everything is bought, with those of its task that come in the same moment.

        Raises:
            indexer_client.ChunkRefused: Its task may not write any more.
        """
        if len(bought.batch.refusals) > REFUSALS:
            return Gone(tried=False)
        kind = _Kind(delivery.header.task_id, bought.header.fence, bought.header.namespace)
        group = self._forming.get(kind)
        if group is None or not group.has_room(share):
            group = self._forming[kind] = _Group()
            group.call = asyncio.create_task(self._call(kind, group))
        member = _Member(delivery, bought, asyncio.get_running_loop().create_future())
        group.members.append(member)
        group.slots += share
        try:
            return await member.end
        except asyncio.CancelledError:
            await group.leave()
            raise

    async def _call(self, kind: _Kind, group: _Group) -> None:
        structlog.contextvars.unbind_contextvars("chunk")
        await asyncio.sleep(0)  # who comes in this turn of the event loop goes along
        if self._forming.get(kind) is group:
            del self._forming[kind]
        waiting = [each for each in group.members if not each.end.done()]
        going = [each for each in waiting if not each.delivery.lost.is_set()]
        for each in waiting:
            if each not in going:
                each.end.set_result(Gone(tried=False))
        if going:
            await self._settle(going)

    async def _settle(self, going: list[_Member]) -> None:
        try:
            ends = await self._ask(going)
        except indexer_client.ChunkRefused as refusal:
            for each in going:
                if not each.end.done():
                    each.end.set_exception(indexer_client.ChunkRefused(str(refusal)))
            return
        except Exception as error:
            ends = [self._broken(error, len(going))] * len(going)
        for each, end in zip(going, ends, strict=True):
            if not each.end.done():
                each.end.set_result(end)

    async def _ask(self, going: list[_Member]) -> list[Gone]:
        deliveries = [each.delivery for each in going]
        async with self._indexer.index_chunks(deliveries, self._strikes) as call:
            await sending.send_all(call, [each.bought for each in going])
            sent_at = asyncio.get_running_loop().time()
            outcomes = (await call.settle()).outcomes
        seconds = asyncio.get_running_loop().time() - sent_at
        if len(outcomes) != len(going):
            raise indexer_client.IndexerUnavailable(f"It told the ends of {len(outcomes)} of {len(going)} chunks.")
        return [Gone(each.settled if each.HasField("settled") else None, seconds=seconds) for each in outcomes]

    def _broken(self, error: Exception, chunks: int) -> Gone:
        """A call that ended without an answer; if it was one chunk's fault, that one finds out alone."""
        if isinstance(error, indexer_client.Unserved):
            self._unserved_until = asyncio.get_running_loop().time() + UNSERVED_SECONDS
            return Gone(tried=False)
        defect = None if isinstance(error, indexer_client.IndexerUnavailable) else error
        log.warning(
            "The indexer did not take chunks together; each is sent by itself.",
            action="together_broke",
            chunks=chunks,
            error=f"{type(error).__name__}: {error}"[:200],
            exc_info=defect,
        )
        return Gone()

"""The hot path into Pinecone: batches are tried with patience, bisected when refused, and checked by what was written.

Nothing settles on hope: an upsert counts when Pinecone says how many it wrote.
"""

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable

import prometheus_client
import structlog
import tenacity

from services.billing import units
from services.indexer.pinecone import concurrency, confirmation, meter, transport
from services.indexer.pinecone.batch import (
    UPSERT_VECTORS,
    Batch,
    IndexExhausted,
    IndexRefused,
    IndexUnavailable,
    IndexUnconfirmed,
)
from services.runtime import breaker, errors
from services.runtime.tracing import spans

log = structlog.get_logger()

UPSERTS = prometheus_client.Counter("vectorline_pinecone_upserts", "Upserts to Pinecone.", ["outcome"])
for _outcome in ("written", "partial", "refused", "exhausted", "failed"):
    UPSERTS.labels(_outcome)  # shown from 0 on: what is first seen at 1 has not grown, for an alarm
SECONDS = prometheus_client.Histogram("vectorline_pinecone_seconds", "Seconds an upsert took.")
VECTORS = prometheus_client.Counter("vectorline_pinecone_vectors", "Vectors that Pinecone said it wrote.")
UNITS = prometheus_client.Counter(
    "vectorline_pinecone_write_units",
    "Write units of what was written; Pinecone bills those of what it replaced besides, which only it knows.",
)

# After a refusal for a quota nothing is bought for any task for so long. Each task asks once a second, so all that
# have something in hand hear of it; one that a person resumes after the quota was raised does not wait long.
EXHAUSTED_SECONDS = 10.0
# Records of a refused batch that are tried singly at once, until one is taken.
SINGLY = 4

Check = Callable[[], Awaitable[None]]


class Upserts:
    """Writes batches of vectors into one index."""

    def __init__(self, transport: transport.Transport, *, most_vectors: int = UPSERT_VECTORS) -> None:
        self.most_vectors = most_vectors  # in one upsert
        self._transport = transport
        self._limiter = concurrency.AdaptiveLimiter()
        self.circuit = breaker.Breaker("pinecone")
        # By namespace; held while a refused batch is looked through and no record of it was taken yet.
        self._doubting: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._exhausted: tuple[str, float] | None = None
        self._confirmations = confirmation.Confirmations()

    @property
    def exhausted(self) -> errors.Conflict | None:
        """That Pinecone takes no writes since a quota of the plan is used up; None: that was not said lately."""
        if self._exhausted is None or time.monotonic() - self._exhausted[1] > EXHAUSTED_SECONDS:
            return None
        return quota_used(self._exhausted[0])

    async def write(self, batch: Batch, check: Check, bill: meter.Bill | None = None) -> dict[int, str]:
        """Write a batch; `check` is asked before each try and may raise to stop. `bill` is told of each upsert.

        Returns:
            Refused records: position in the batch to the index's words. All others are written.

        Raises:
            IndexExhausted: Not written; no write is taken before a person acts.
            IndexUnconfirmed: Not known to be written, however often it was sent.
            IndexUnavailable: Not written (or not known to be) after the retries; to be sent again later.
        """
        bill = bill or meter.Meter()
        try:
            await self._write_all(batch, check, bill)
        except IndexRefused as refusal:
            # Before and after, not at each row: a look costs a call to the control plane.
            await self._transport.compare(batch.vectors[0])
            refused = await self._look_through(batch, check, bill, refusal)
            if len(batch) > 1:
                await self._transport.compare(batch.vectors[0])
            return refused
        return {}

    async def _look_through(
        self, batch: Batch, check: Check, bill: meter.Bill, refusal: IndexRefused
    ) -> dict[int, str]:
        """Write all but the records that a refused batch was refused for; see `write`.

        First one by one until a record is taken: where none ever is, bisecting would cost twice the upserts. Other
        batches of the namespace wait for that, since they would be refused alike; once the index takes something,
        the rest is bisected beside them.
        """
        if len(batch) == 1:
            return {0: str(refusal)}
        lock = self._doubting.setdefault(batch.namespace, asyncio.Lock())
        refused: dict[int, str] = {}
        tried = 0
        async with lock:
            while tried < len(batch) and len(refused) == tried:
                places = range(tried, min(tried + SINGLY, len(batch)))
                singles = (self._write_one(batch.part(at, at + 1), check, bill) for at in places)
                answers = await asyncio.gather(*singles, return_exceptions=True)  # none may go on alone
                for at, answer in zip(places, answers, strict=True):
                    if isinstance(answer, BaseException):
                        raise answer
                    if answer is not None:
                        refused[at] = answer
                tried = places.stop
        if tried < len(batch):
            found = await self._write_rest(batch.part(tried, len(batch)), check, bill)
            refused |= {tried + position: words for position, words in found.items()}
        return refused

    async def _write_one(self, single: Batch, check: Check, bill: meter.Bill) -> str | None:
        """Write one record; the index's words if it is refused."""
        try:
            await self._write_all(single, check, bill)
        except IndexRefused as refusal:
            return str(refusal)
        return None

    async def _write_rest(self, batch: Batch, check: Check, bill: meter.Bill) -> dict[int, str]:
        """Write a batch that may hold refused records, by halves."""
        try:
            await self._write_all(batch, check, bill)
        except IndexRefused as refusal:
            if len(batch) == 1:
                return {0: str(refusal)}
        else:
            return {}
        middle = len(batch) // 2
        refused: dict[int, str] = {}
        for start, end in ((0, middle), (middle, len(batch))):
            found = await self._write_rest(batch.part(start, end), check, bill)
            refused |= {start + position: words for position, words in found.items()}
        return refused

    async def _write_all(self, batch: Batch, check: Check, bill: meter.Bill) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(IndexUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_attempt(4),
            reraise=True,
        )
        way, paid = await self._transport.way(), bill.upsert(batch)
        async for attempt in retrying:
            with attempt:
                if self._confirmations.doubted(batch.namespace):  # each further try is billed
                    await self.circuit.passage()
                async with self._limiter.slot() as slot:
                    await check()  # after the wait for the slot: what it says must not be old when the upsert goes
                    written = await self._send(way, slot, batch, paid)
                self._confirm(batch, written)

    def _confirm(self, batch: Batch, written: int) -> None:
        """Hold what the index says that it wrote against what it was sent."""
        if written == len(batch):
            self._confirmations.confirm(batch.namespace)
            self.circuit.succeed()
            return
        UPSERTS.labels("partial").inc()
        words = f"Pinecone wrote {written} of {len(batch)} vectors."
        self.circuit.fail(words)
        log.warning("Pinecone did not confirm a batch.", action="upsert_unconfirmed", error=words)
        if self._confirmations.miss(batch.namespace):
            raise IndexUnconfirmed(words)
        raise IndexUnavailable(words)

    async def _send(self, way: transport.Way, slot: concurrency.Slot, batch: Batch, paid: meter.Upsert) -> int:
        """One upsert that was answered, and what it tells about the index."""
        try:
            with SECONDS.time(), spans.span("Pinecone Upsert", spans.Kind.CLIENT) as span:
                span.set("vectors", len(batch))
                written = await way.upsert(batch)
        except IndexRefused:
            UPSERTS.labels("refused").inc()
            self.circuit.succeed()
            raise
        except IndexExhausted as error:
            UPSERTS.labels("exhausted").inc()
            self.circuit.succeed()
            self._exhausted = (str(error), time.monotonic())
            log.warning("Pinecone takes no writes: a quota is used up.", action="index_exhausted", error=str(error))
            raise
        except IndexUnavailable as error:
            UPSERTS.labels("failed").inc()
            if error.unanswered:
                paid.lost()
            if error.busy:
                slot.push_back()
            self.circuit.fail(str(error))
            log.warning("Pinecone did not take a batch.", action="upsert_failed", error=str(error))
            if self.circuit.open:
                self._transport.find_anew()
            raise
        except asyncio.CancelledError:
            paid.lost()
            raise
        paid.wrote(written)
        UPSERTS.labels("written").inc()
        VECTORS.inc(written.count)
        UNITS.inc(units.of_upsert(batch.record_bytes))
        slot.succeed()
        return written.count


def quota_used(words: str) -> errors.Conflict:
    """What the task is told of a quota that is used up."""
    message = (
        f"Pinecone refuses every write: {words} Nothing more is bought. When that is put right (a higher plan, records "
        f"deleted, or the next month), retry the task: it goes on where it stands."
    )
    return errors.Conflict(message, reason="INDEX_QUOTA_EXCEEDED")


def unconfirmed(words: str) -> errors.Conflict:
    """What the task is told of an index that does not confirm what it is sent."""
    message = (
        f"For {confirmation.UNCONFIRMED_SECONDS:.0f} s the index has not confirmed what it was sent: {words} "
        f"Each further try would be billed. Put the index right and retry the task: it goes on where it stands."
    )
    return errors.Conflict(message, reason="INDEX_UNCONFIRMED")

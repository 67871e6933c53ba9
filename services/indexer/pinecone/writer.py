"""The hot path into Pinecone: batches are tried with patience, bisected when refused, and checked by what was written.

Nothing settles on hope: an upsert counts when Pinecone says how many it wrote.
"""

from collections.abc import Awaitable, Callable

import prometheus_client
import structlog
import tenacity

from services.indexer.pinecone import concurrency, transport
from services.indexer.pinecone.batch import UPSERT_VECTORS, Batch, IndexRefused, IndexUnavailable
from services.runtime import breaker

log = structlog.get_logger()

UPSERTS = prometheus_client.Counter("vectorline_pinecone_upserts", "Upserts to Pinecone.", ["outcome"])
SECONDS = prometheus_client.Histogram("vectorline_pinecone_seconds", "Seconds an upsert took.")

Check = Callable[[], Awaitable[None]]


class Upserts:
    """Writes batches of vectors into one index."""

    def __init__(self, transport: transport.Transport, *, most_vectors: int = UPSERT_VECTORS) -> None:
        self.most_vectors = most_vectors  # in one upsert
        self._transport = transport
        self._limiter = concurrency.AdaptiveLimiter()
        self.circuit = breaker.Breaker("pinecone")

    async def write(self, batch: Batch, check: Check) -> dict[int, str]:
        """Write a batch; `check` is asked before each try and may raise to stop.

        Returns:
            Refused records: position in the batch to the index's words. All others are written.

        Raises:
            IndexUnavailable: Not written (or not known to be) after the retries; to be sent again later.
        """
        try:
            await self._write_all(batch, check)
        except IndexRefused as refusal:
            # Before and after, not at each row: a look costs a call to the control plane.
            await self._transport.compare(batch.vectors[0])
            refused = await self._bisect(batch, check, refusal)
            if len(batch) > 1:
                await self._transport.compare(batch.vectors[0])
            return refused
        return {}

    async def _bisect(self, batch: Batch, check: Check, refusal: IndexRefused) -> dict[int, str]:
        """Write all but the records that a refused batch was refused for; see `write`."""
        if len(batch) == 1:
            return {0: str(refusal)}
        middle = len(batch) // 2
        refused: dict[int, str] = {}
        for start, end in ((0, middle), (middle, len(batch))):
            half = batch.part(start, end)
            try:
                await self._write_all(half, check)
            except IndexRefused as again:
                found = await self._bisect(half, check, again)
                refused |= {start + position: words for position, words in found.items()}
        return refused

    async def _write_all(self, batch: Batch, check: Check) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(IndexUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_attempt(4),
            reraise=True,
        )
        way = await self._transport.way()
        async for attempt in retrying:
            with attempt:
                async with self._limiter.slot() as slot:
                    await check()  # after the wait for the slot: what it says must not be old when the upsert goes
                    written = await self._send(way, slot, batch)
                if written != len(batch):
                    UPSERTS.labels("partial").inc()
                    raise IndexUnavailable(f"Pinecone wrote {written} of {len(batch)} vectors.")

    async def _send(self, way: transport.Way, slot: concurrency.Slot, batch: Batch) -> int:
        """One upsert, and what it tells about the index."""
        try:
            with SECONDS.time():
                written = await way.upsert(batch)
        except IndexRefused:
            UPSERTS.labels("refused").inc()
            self.circuit.succeed()
            raise
        except IndexUnavailable as error:
            UPSERTS.labels("failed").inc()
            if error.busy:
                slot.push_back()
            self.circuit.fail()
            log.warning("Pinecone did not take a batch.", action="upsert_failed", error=str(error))
            raise
        UPSERTS.labels("written").inc()
        slot.succeed()
        self.circuit.succeed()
        return written

"""Deletes by ids, and of whole namespaces, paced to what a namespace bears, and tried with patience.

An answer says nothing of how many were there: what is not in the index counts as deleted.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import prometheus_client
import structlog
import tenacity

from services.billing import spend, units
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import transport
from services.runtime import breaker
from services.runtime.tracing import spans

log = structlog.get_logger()

# https://docs.pinecone.io/reference/api/database-limits: 1,000 ids a request, 5,000 records a second of a namespace.
MOST_IDS = 1_000
RECORDS_PER_SECOND = 5_000
TRIES = 4

DELETES = prometheus_client.Counter(
    "vectorline_pinecone_deletes", "Deletes to Pinecone, by ids or of a namespace.", ["outcome"]
)
DELETED = prometheus_client.Counter("vectorline_pinecone_deleted", "Ids that Pinecone was told to delete, and did.")
for _outcome in ("deleted", "refused", "exhausted", "failed"):
    DELETES.labels(_outcome)  # shown from 0 on

Check = Callable[[], Awaitable[None]]
Send = Callable[[transport.Way], Awaitable[int]]


class Deleted(NamedTuple):
    """What a delete cost, as far as that is known here, and where in the namespace's log it is (0: it is not told)."""

    spent: spend.Spend
    lsn: int = 0


class Deletes:
    """Deletes vectors of one index.

    Args:
        way: By which requests go.
        circuit: Whether the index takes writes; shared with upserts.
    """

    def __init__(self, way: transport.Transport, circuit: breaker.Breaker) -> None:
        self._transport = way
        self._circuit = circuit
        # When the next delete of a namespace may begin.
        self._free_at: dict[str, float] = {}

    async def delete(self, namespace: str, ids: Sequence[str], check: Check) -> Deleted:
        """Delete some ids; `check` is asked before each try and may raise to stop.

        Returns:
            What tries without an answer may have cost; of what was deleted only the caller knows the size.

        Raises:
            batches.IndexRefused: The index refuses the request.
            batches.IndexExhausted: A quota of the plan is used up.
            batches.IndexUnavailable: Not deleted, or not known to be: to be sent again later.
        """
        send = functools.partial(self._delete, namespace, ids)
        lost, lsn = await self._patiently(namespace, len(ids), check, send)
        DELETED.inc(len(ids))
        return Deleted(spend.Spend(write_units_doubtful=units.LEAST_WRITE_UNITS * lost), lsn)

    async def drop(self, namespace: str, check: Check) -> Deleted:
        """Drop a namespace with all that is in it; one that is not there does no harm.

        Returns:
            What it cost. Raises what `delete` does.
        """

        async def send(way: transport.Way) -> int:
            with spans.span("Pinecone DeleteNamespace", spans.Kind.CLIENT):
                await way.drop(namespace)
            return 0  # its log is gone with it

        lost, _ = await self._patiently(namespace, 1, check, send)
        units_once = units.LEAST_WRITE_UNITS
        return Deleted(spend.Spend(write_units=units_once, write_units_doubtful=units_once * lost))

    async def _delete(self, namespace: str, ids: Sequence[str], way: transport.Way) -> int:
        with spans.span("Pinecone Delete", spans.Kind.CLIENT) as span:
            span.set("ids", len(ids))
            return await way.delete(namespace, ids)

    async def _patiently(self, namespace: str, records: int, check: Check, send: Send) -> tuple[int, int]:
        """Send until it is answered; how many tries may have done their work without an answer, and the answer."""
        lost = answer = 0
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(batches.IndexUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_attempt(TRIES),
            reraise=True,
        )
        way = await self._transport.way()
        async for attempt in retrying:
            with attempt:
                await self._pace(namespace, records)
                await check()  # after the wait: what it says must not be old when the delete goes
                try:
                    answer = await self._send(way, send)
                except batches.IndexUnavailable as error:
                    lost += error.unanswered
                    raise
        return lost, answer

    async def _pace(self, namespace: str, count: int) -> None:
        now = time.monotonic()
        begin = max(now, self._free_at.get(namespace, now))
        self._free_at = {name: at for name, at in self._free_at.items() if at > now}
        self._free_at[namespace] = begin + count / RECORDS_PER_SECOND
        if begin > now:
            await asyncio.sleep(begin - now)

    async def _send(self, way: transport.Way, send: Send) -> int:
        try:
            answer = await send(way)
        except batches.IndexRefused:
            self._told("refused", works=True)
            raise
        except batches.IndexExhausted as error:
            self._told("exhausted", works=True)
            log.warning("Pinecone takes no deletes: a quota is used up.", action="index_exhausted", error=str(error))
            raise
        except batches.IndexUnavailable as error:
            self._told("failed", works=False)
            log.warning("Pinecone did not take a delete.", action="delete_failed", error=str(error))
            raise
        self._told("deleted", works=True)
        return answer

    def _told(self, outcome: str, *, works: bool) -> None:
        DELETES.labels(outcome).inc()
        if works:
            self._circuit.succeed()
            return
        self._circuit.fail()
        if self._circuit.open:
            self._transport.find_anew()

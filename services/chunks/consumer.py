"""The embedder's side of the queue: take, keep, ack, hand back."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from services.chunks import entry, errors, metrics, presence, settings, store, strikes, turns
from services.chunks.delivery import Delivery
from services.chunks.keeper import Keeper

_log = structlog.get_logger(__name__)

_LONGEST_BACKOFF_SECONDS = 2.0
# A blocking read that has not ended by then is given up: Valkey hangs.
_LATE_SECONDS = 1.0


class Consumer:
    """One process's hold on the queue.

    Use ``start``, then ``take`` in a loop with the free slots; each delivery ends by exactly one of ``ack``,
    ``hand_back`` or ``drop``. On the way out: ``stop_taking`` (``take`` returns at once), finish what is bought,
    ``close`` (hands back the rest).

    Promises: no more chunks than fill the slots asked for (small ones share a slot, the last one may fill more than was
    left), never one that this process holds already, a chunk with 2 strikes only while nothing else is held. Leases are
    renewed by a task of their own, whatever the work does. A Valkey that is away makes ``take`` wait and loses nothing;
    ``ack`` and ``hand_back`` then raise and may be repeated.

    Args:
        queue: The store.
        slots: Chunks that this process works at a time; all embedders' slots make the publishing window.
        name: Unique per process start.
    """

    def __init__(self, queue: store.Store, *, slots: int, name: str = "") -> None:
        self.name = name or presence.unique_name()
        self.slots = slots
        self.strikes = strikes.Strikes(queue, self.name)
        self._store = queue
        self._held: dict[entry.Ref, Delivery] = {}
        self._keeper = Keeper(queue, self.name, slots, self._held, self.strikes)
        self._turn = turns.start_of(self.name)
        self._reclaim_at = 0.0
        self._stopping = asyncio.Event()
        self._released = asyncio.Event()
        self._failures = 0

    @property
    def held(self) -> list[Delivery]:
        """Chunks in hand."""
        return list(self._held.values())

    @property
    def available(self) -> bool:
        """Did Valkey answer the last ``take``? For the health view."""
        return self._failures == 0

    async def start(self) -> None:
        """Begin to announce this process and to renew leases. Works also while Valkey is away."""
        self._keeper.start()

    # ---- taking

    async def take(self, free_slots: float) -> list[Delivery]:
        """Chunks to work, as many as fill ``free_slots``; waits up to ``timing.block_seconds`` and may come back empty.

        With no free slot, or with a suspect chunk in hand, it waits for the end of a delivery. A cancel loses nothing:
        what was being handed out is handed back. Never raises for an outage: it waits (with back-off) and returns [].
        """
        if self._stopping.is_set():
            return []
        self._released.clear()
        if free_slots <= 0 or any(delivery.suspect for delivery in self._held.values()):
            await self._pause(self._released.wait(), self._store.timing.block_seconds)
            return []
        try:
            deliveries, taken = await self._fetch(free_slots)
            if not deliveries and not self._stopping.is_set():
                wait_seconds = self._store.timing.block_seconds
                if taken.draining:
                    await self._pause(self._released.wait(), wait_seconds)
                else:
                    until_reclaim = self._reclaim_at - asyncio.get_running_loop().time()
                    blocked_seconds = max(min(wait_seconds, until_reclaim), 0.01)
                    # Valkey ends the wait: a read that is given up here costs its connection.
                    await self._pause(self._store.wait(taken.wakeup, blocked_seconds), blocked_seconds + _LATE_SECONDS)
                    if not self._stopping.is_set():
                        deliveries, _ = await self._fetch(free_slots)
        except errors.QueueUnavailable as error:
            await self._back_off(error)
            return []
        if self._failures:
            _log.info("Valkey serves the queue again.", action="queue_available", consumer=self.name)
        self._failures = 0
        return deliveries

    async def _fetch(self, want: float) -> tuple[list[Delivery], store.Taken]:
        """Ask the store in a task of its own, so that a cancel in mid call cannot lose what it hands out."""
        asking = asyncio.ensure_future(self._ask(want))
        try:
            rows, taken = await asyncio.shield(asking)
        except asyncio.CancelledError:
            with contextlib.suppress(errors.QueueUnavailable):
                rows, _ = await asking
                for row, _ in rows:
                    if holding := self._held.get(row.claim.ref):
                        holding.adopt(row)
                    else:
                        await self._store.hand_back(self.name, row.claim, row.header)
            raise
        deliveries = []
        for row, reclaimed in rows:
            if holding := self._held.get(row.claim.ref):
                holding.adopt(row)
                continue
            delivery = Delivery(row, self._store.limits, reclaimed=reclaimed)
            self._held[row.claim.ref] = delivery
            metrics.TAKEN.labels(row.claim.ref.lane.value, "reclaimed" if reclaimed else "new").inc()
            deliveries.append(delivery)
        return deliveries, taken

    async def _ask(self, want: float) -> tuple[list[tuple[store.Row, bool]], store.Taken]:
        """Leases that ran out first, when it is time to look for them; then the lanes."""
        rows: list[tuple[store.Row, bool]] = []
        taken = store.Taken([], [], draining=False)
        loop = asyncio.get_running_loop()
        if loop.time() >= self._reclaim_at:
            taken = await self._store.reclaim(self._question(want, 0))
            self._reclaim_at = loop.time() + self._store.timing.reclaim_seconds
            self._report_lost(taken.lost)
            rows += [(row, True) for row in taken.rows]
        suspect = any(strikes.is_suspect(row.strikes, self._store.limits) for row, _ in rows)
        left = want - sum(self.share(row.header) for row, _ in rows)
        if left > 0 and not suspect and not taken.draining:
            try:
                taken = await self._store.take(self._question(left, len(rows)), self._turn)
            except errors.QueueUnavailable:
                if not rows:
                    raise
            else:
                self._turn = taken.turn
                self._report_lost(taken.lost)
                rows += [(row, False) for row in taken.rows]
        return rows, taken

    def share(self, header: entry.Header) -> float:
        """What a chunk fills of a slot."""
        return self._store.limits.share(header.rows, header.payload_bytes) / settings.WHOLE_SLOT

    def _question(self, want: float, just_got: int) -> store.Ask:
        forbidden = tuple(ref for ref, delivery in self._held.items() if delivery.lost.is_set())
        return store.Ask(self.name, want, len(self._held) + just_got, forbidden)

    def _report_lost(self, lost: list[entry.Ref]) -> None:
        if lost:
            metrics.ENTRIES_LOST.inc(len(lost))
            _log.warning(
                "Entries were deleted while pending; their chunks will be published again.",
                action="entries_lost",
                entries=[str(ref) for ref in lost],
            )

    async def _pause(self, until: Coroutine[Any, Any, Any], seconds: float) -> None:
        """Wait for ``until``, for a stop or for the time to pass, whichever is first.

        Raises:
            errors.QueueUnavailable: From ``until``.
        """
        waiting = asyncio.ensure_future(until)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, stopping):
                task.cancel()
            results = await asyncio.gather(waiting, stopping, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _back_off(self, error: errors.QueueUnavailable) -> None:
        if not self._failures:
            _log.warning(
                "Valkey does not serve the queue.", action="queue_unavailable", consumer=self.name, error=str(error)
            )
        self._failures += 1
        # Leases may have run out meanwhile: the living renew theirs before anybody looks for the dead.
        timing = self._store.timing
        self._reclaim_at = asyncio.get_running_loop().time() + min(timing.heartbeat_seconds, timing.lease_seconds / 2)
        longest = min(0.1 * 2 ** min(self._failures, 10), _LONGEST_BACKOFF_SECONDS)
        await self._pause(asyncio.sleep(longest * random.uniform(0.5, 1)), longest)  # noqa: S311 - jitter, no secret

    # ---- ending a delivery

    async def ack(self, delivery: Delivery, *, over: bool = True) -> bool:
        """As ``ack_all``, of one chunk."""
        (acked,) = await self.ack_all([delivery], over=over)
        return acked

    async def ack_all(self, deliveries: Sequence[Delivery], *, over: bool) -> list[bool]:
        """Take chunks off the queue that are settled, or with which there is nothing to do. False: no longer the owner.

        Those that are not over keep their strikes, for they may be split again; over is what is settled, and every
        chunk of a task that has ended.

        Raises:
            errors.QueueUnavailable: Not known; still held: repeat, or ``drop``.
        """
        answers = await self._store.ack(self.name, [(each.claim, each.header) for each in deliveries], over=over)
        for delivery, acked in zip(deliveries, answers, strict=True):
            metrics.ACKED.labels(str(acked).lower()).inc()
            if not acked:
                _log.warning(
                    "An ack was refused: another has the chunk, or nobody any more.",
                    action="ack_refused",
                    consumer=self.name,
                    task_id=delivery.header.task_id,
                    chunk=delivery.header.chunk,
                )
            self.drop(delivery)
        return answers

    async def hand_back(self, delivery: Delivery) -> bool:
        """Let the next one have the chunk at once, its delivery count as before. False: no longer the owner.

        Raises:
            errors.QueueUnavailable: Not known; still held: repeat, or ``drop``.
        """
        handed_back = await self._store.hand_back(self.name, delivery.claim, delivery.header)
        if handed_back:
            metrics.HANDED_BACK.inc()
        self.drop(delivery)
        return handed_back

    def drop(self, delivery: Delivery) -> None:
        """Let go without a word: it was lost, or its lease may run out."""
        if self._held.get(delivery.ref) is delivery:
            del self._held[delivery.ref]
        self._released.set()

    def wake(self) -> None:
        """A ``take`` that waits for a slot comes back: there is one."""
        self._released.set()

    async def renew(self, delivery: Delivery) -> bool:
        """Is this process still the owner? Asked now (after a long stall), not with the next heartbeat.

        Raises:
            errors.QueueUnavailable: Not known.
        """
        if self._held.get(delivery.ref) is not delivery:
            return False
        await self._keeper.beat([delivery])
        return not delivery.lost.is_set()

    async def verdict(self, delivery: Delivery) -> strikes.Verdict:
        """Ask for the strikes of a chunk in hand, after one was added: work on, hand it back, or fail it as poison.

        Raises:
            errors.QueueUnavailable: Not known.
        """
        delivery.strikes = await self.strikes.count(delivery.header)
        return strikes.judge(delivery.strikes, self._store.limits, alone=len(self._held) <= 1)

    # ---- going

    def stop_taking(self) -> None:
        """``take`` returns at once, now and from now on. Leases are still renewed."""
        self._stopping.set()

    async def close(self) -> None:
        """Hand back what is still held, withdraw, stop. Never raises for an outage: leases then run out."""
        self.stop_taking()
        await self._keeper.stop()
        try:
            for delivery in self.held:
                await self.hand_back(delivery)
            await self.strikes.settle_debts()
            await self._store.withdraw(presence.EMBEDDERS, self.name)
            await self._store.reap(self.name)
        except errors.QueueUnavailable as error:
            _log.warning(
                "Valkey is away at the end; leases run out by themselves.", action="close_unsaid", error=str(error)
            )

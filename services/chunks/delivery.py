"""One delivery of one chunk to this process."""

import asyncio
import time
from typing import Final

import structlog

from services.chunks import entry, metrics, settings, store, strikes

_log = structlog.get_logger(__name__)


class Delivery:
    """A chunk in hand. Owned by the consumer's name together with the delivery count, while heartbeats are answered.

    Attributes:
        header: What is known without decoding.
        payload: The rows, compressed; ``entry.unpack`` under ``Strikes.guard``.
        strikes: Strikes that it had when it was handed out (or last asked for).
        reclaimed: Its lease had run out with someone else.
        lost: Set when this process does not own it any more: drop it, do not settle, call ``Consumer.drop``.
        lost_because: ``not_owner`` or ``no_progress``, once lost.
        taken_at: Loop time at which it was handed out.
    """

    NOT_OWNER: Final = "not_owner"
    NO_PROGRESS: Final = "no_progress"

    def __init__(self, row: store.Row, limits: settings.QueueLimits, *, reclaimed: bool = False) -> None:
        self.header = row.header
        self.payload = row.payload
        self.strikes = row.strikes
        self.reclaimed = reclaimed
        self.lost = asyncio.Event()
        self.lost_because = ""
        self._claim = row.claim
        self._limits = limits
        self.taken_at = self.progressed_at = asyncio.get_running_loop().time()

    @property
    def claim(self) -> store.Claim:
        """The entry and the delivery count that make this delivery the owner."""
        return self._claim

    @property
    def ref(self) -> entry.Ref:
        """Where its entry is."""
        return self._claim.ref

    @property
    def delivery_count(self) -> int:
        """How often it was handed out, this time included; a hand-back does not count."""
        return self._claim.delivery_count

    @property
    def published_at(self) -> float:
        """When it was published: Unix seconds of Valkey's clock."""
        return int(self.ref.entry_id.partition("-")[0]) / 1000

    @property
    def queued_seconds(self) -> float:
        """For how long it has been in the queue, by this process's clock."""
        return max(time.time() - self.published_at, 0.0)

    @property
    def poison(self) -> bool:
        """So many strikes that it is failed by its header alone: never decode it."""
        return self.strikes >= self._limits.poison_strikes

    @property
    def suspect(self) -> bool:
        """So many strikes that it is worked only by an embedder that holds nothing else."""
        return strikes.is_suspect(self.strikes, self._limits)

    def progress(self) -> None:
        """Work went on, or waits for quota or an open circuit: the heartbeat goes on."""
        self.progressed_at = asyncio.get_running_loop().time()

    def adopt(self, row: store.Row) -> None:
        """This process was handed the same chunk again while it works on it: it goes on, as the new delivery."""
        self._claim = row.claim
        self.strikes = row.strikes

    def lose(self, because: str) -> None:
        """Mark it lost: ``NOT_OWNER`` or ``NO_PROGRESS``."""
        if self.lost.is_set():
            return
        self.lost_because = because
        self.lost.set()
        metrics.LEASES_LOST.labels(because).inc()
        _log.warning(
            "A chunk in work was lost.",
            action="lease_lost",
            because=because,
            task_id=self.header.task_id,
            chunk=self.header.chunk,
            delivery_count=self.delivery_count,
        )

    def __repr__(self) -> str:
        """Who and where, for logs."""
        return f"Delivery({self.header.task_id}/{self.header.chunk} at {self.ref} x{self.delivery_count})"

"""Publishing chunks: ingest's way into the queue."""

import asyncio
import dataclasses
import random

import structlog

from services.chunks import entry, errors, metrics, store
from services.chunks.store import Outcome

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.5
_OUTAGE_WAIT_SECONDS = 1.0


class Publisher:
    """Publishes chunks under a splitting lease (``splitting.SplitLease``).

    Promises: a chunk is in flight at most once, no task has more in flight than its window, the queue holds no more
    than its byte budget (or one larger entry), and a splitter that lost its lease publishes nothing.
    """

    def __init__(self, queue: store.Store) -> None:
        self._store = queue
        # By task: when entries that were lost are looked for, while there is no room for its chunks.
        self._full: dict[str, float] = {}

    async def publish(self, header: entry.Header, payload: bytes, split_token: str) -> Outcome:
        """Publish one chunk now, or say why not. Renews the splitting lease unless that is lost.

        Args:
            header: The chunk; ``payload_bytes`` is set here.
            payload: The rows, uncompressed.
            split_token: From ``SplitLease.token``.

        Raises:
            ValueError: The payload is larger than ``entry.MOST_PAYLOAD_BYTES``: nobody would unpack it.
            errors.QueueUnavailable: Valkey does not serve; the chunk may have been published: repeat (then ALREADY).
        """
        return await self._publish(*_packed(header, payload), split_token)

    async def publish_waiting(self, header: entry.Header, payload: bytes, split_token: str) -> Outcome:
        """Publish one chunk, waiting while the window or the queue is full, or Valkey is out of memory or away.

        While it waits it drops in-flight chunks whose entry is gone, so that a lost entry never blocks its task (each
        ``timing.reclaim_seconds``: that reads all of the task's entries), and it sends no payloads; nor does it begin
        with one where the chunk before had to wait. Cancel it to stop. Returns PUBLISHED, ALREADY or LEASE_LOST.

        Raises:
            ValueError: As ``publish``.
        """
        header, packed = _packed(header, payload)
        try:
            return await self._wait(header, packed, split_token)
        except asyncio.CancelledError:
            self._full.pop(header.task_id, None)
            raise

    async def _wait(self, header: entry.Header, packed: bytes, split_token: str) -> Outcome:
        wait_seconds = _FIRST_WAIT_SECONDS
        waited = False
        while True:
            try:
                outcome = await self._publish_if_room(header, packed, split_token)
                if outcome is not Outcome.FULL:
                    if not waited or outcome is not Outcome.PUBLISHED:
                        self._full.pop(header.task_id, None)
                    return outcome
            except errors.QueueUnavailable as error:
                _log.warning(
                    "Publishing waits for Valkey.",
                    action="publish_waits",
                    task_id=header.task_id,
                    chunk=header.chunk,
                    error=str(error),
                )
                wait_seconds = _OUTAGE_WAIT_SECONDS
            waited = True
            await asyncio.sleep(wait_seconds * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            wait_seconds = min(wait_seconds * 1.5, _LONGEST_WAIT_SECONDS)

    async def _publish_if_room(self, header: entry.Header, packed: bytes, split_token: str) -> Outcome:
        """Send the payload only where it is likely to be taken."""
        now = asyncio.get_running_loop().time()
        prune_at = self._full.get(header.task_id)
        outcome = Outcome.PUBLISHED
        if prune_at is not None:
            if now >= prune_at:
                await self._store.prune(header.task_id)
                self._full[header.task_id] = now + self._store.timing.reclaim_seconds
            outcome = await self._store.has_room(header, packed, split_token)
        if outcome is Outcome.PUBLISHED:
            outcome = await self._publish(header, packed, split_token)
        if outcome is Outcome.FULL:
            self._full.setdefault(header.task_id, now + self._store.timing.reclaim_seconds)
        return outcome

    async def _publish(self, header: entry.Header, packed: bytes, split_token: str) -> Outcome:
        outcome = await self._store.publish(header, packed, split_token)
        metrics.PUBLISHED.labels(outcome.value).inc()
        return outcome


def _packed(header: entry.Header, payload: bytes) -> tuple[entry.Header, bytes]:
    if len(payload) > entry.MOST_PAYLOAD_BYTES:
        raise ValueError(
            f"Chunk {header.chunk} has {len(payload)} bytes; the queue carries at most {entry.MOST_PAYLOAD_BYTES}."
        )
    return dataclasses.replace(header, payload_bytes=len(payload)), entry.pack(payload)

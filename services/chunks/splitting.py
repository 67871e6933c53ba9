"""The splitting lease: one splitter a task."""

import dataclasses
import secrets

from services.chunks import store


@dataclasses.dataclass(frozen=True)
class SplitLease:
    """The right to publish a task's chunks, for ``timing.split_seconds`` after the last publish or renewal.

    It fails by running out: then ``publish`` answers LEASE_LOST and ``renew`` False, for good. Its holder never brings
    it back; it asks for a new one and begins again from what the ledger says.
    """

    task_id: str
    token: str
    _store: store.Store = dataclasses.field(repr=False, compare=False)

    async def renew(self) -> bool:
        """Extend it while nothing is published; False: it is lost.

        Raises:
            errors.QueueUnavailable: Not known; it runs out by itself.
        """
        return await self._store.renew_split(self.task_id, self.token)

    async def release(self) -> bool:
        """Let the next splitter begin at once; False: it was lost before.

        Raises:
            errors.QueueUnavailable: Not known; it runs out by itself.
        """
        return await self._store.release_split(self.task_id, self.token)


class Splitting:
    """Hands out splitting leases."""

    def __init__(self, queue: store.Store) -> None:
        self._store = queue

    async def acquire(self, task_id: str) -> SplitLease | None:
        """Take the task's splitting lease, or None while somebody has it.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        token = secrets.token_hex(16)
        if not await self._store.acquire_split(task_id, token):
            return None
        return SplitLease(task_id, token, self._store)

"""Whether a driver may go on: its task is still open, it holds the turn, and the splitting lease is ours."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import structlog

from services.chunks import errors as queue_errors
from services.chunks import splitting
from services.ingest import ledger_client
from services.runtime import background

log = structlog.get_logger()

WATCH_SECONDS = 2.0
# A scan that moves is told of so often: well below the 120 s after which a task shows as standing still.
TELL_SECONDS = 20.0

Answer = TypeVar("Answer")


class Stopped(Exception):
    """The driver must not go on."""


class Standing:
    """Watches a driven task: renews its splitting lease and looks at the ledger every two seconds."""

    def __init__(self, ledger: ledger_client.Ledger, lease: splitting.SplitLease, fence: int) -> None:
        self._ledger = ledger
        self._lease = lease
        self.fence = fence
        self._why = ""
        self._stopped = asyncio.Event()
        # A scan looked in since that was told last.
        self._moved = False
        self._told_at = time.monotonic()

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch while the body runs."""
        watching = asyncio.create_task(background.forever("standing", self._watch))
        try:
            yield
        finally:
            watching.cancel()
            # A scan that was left behind in its thread ends at its next look, and lets the process end.
            self._why = self._why or "its driver is gone"
            self._stopped.set()

    def check(self, _progress: object = None) -> None:
        """Called by blocking work in a thread, now and then.

        Raises:
            Stopped: It must end.
        """
        self._moved = True
        if self._stopped.is_set():
            raise Stopped(self._why)

    async def during(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do some work, unless or until the driver must stop.

        Raises:
            Stopped: It had to.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return await working
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _watch(self) -> None:
        while not self._why:
            await asyncio.sleep(WATCH_SECONDS)
            self._why = await self._reason_to_stop()
        self._stopped.set()

    async def _tell(self) -> None:
        due = self._moved and time.monotonic() - self._told_at >= TELL_SECONDS
        if due and await self._ledger.note_scan(self._lease.task_id):
            self._moved, self._told_at = False, time.monotonic()

    async def _reason_to_stop(self) -> str:
        try:
            if not await self._lease.renew():
                return "another splitter has the task"
            record = await self._ledger.get(self._lease.task_id)
        except (
            queue_errors.QueueUnavailable,
            ledger_client.LedgerUnavailable,
            ledger_client.LedgerDefect,
        ) as error:
            log.warning("The driver cannot be checked.", action="standing_unknown", error=str(error))
            return ""
        except ledger_client.LedgerRefused as error:
            return str(error)
        if ledger_client.over(record):
            return f"the task is {record.status}"
        if record.status == ledger_client.SCANNING:
            await self._tell()
        return "" if record.fence == self.fence else "the task lost its turn"

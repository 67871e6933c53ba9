"""What was paid, on its way into the bills of tasks and into the books of the days.

A settlement carries what its delivery cost, so that a task's bill counts it exactly once, with the chunk. What was paid
in vain (chunks that were given up, or settled by another delivery) is no chunk's: it is added to the task by itself,
gathered for a moment, since a task that is cancelled leaves many such chunks at once. The days count both, and
searches.
"""

import contextlib
import datetime
from typing import NoReturn

import structlog

from services.billing import spend
from services.indexer.ledger import days, items, lifecycle
from services.indexer.storage import clock, table
from services.runtime import background, errors

log = structlog.get_logger()

# Whose tasks these are, and where they write, which never changes: so many are remembered.
ACCOUNTS = 10_000
# A process that is killed takes so much of what it had gathered along.
FLUSH_SECONDS = 1.0


class Spending:
    """Adds to the bills of tasks, whatever their status, and to the days."""

    def __init__(self, storage: table.Table, watch: clock.Clock, tasks: lifecycle.Lifecycle) -> None:
        self._table = storage
        self._clock = watch
        self._tasks = tasks
        self.days = days.Days(storage)
        self._unwritten: dict[str, spend.Spend] = {}
        # By day and task, until it is known whose the task is.
        self._unplaced: dict[tuple[datetime.date, str], spend.Spend] = {}
        self._accounts: dict[str, days.Account] = {}
        self._flushing = background.Flushing(self._flush, FLUSH_SECONDS)

    def settled(self, task_id: str, spent: spend.Spend) -> None:
        """A settlement holds it; here it is for the day."""
        if spent:
            at = (self._clock.now().date(), task_id)
            self._unplaced[at] = self._unplaced.get(at, spend.NOTHING) + spent

    def add(self, task_id: str, spent: spend.Spend) -> None:
        """Add to a task and to the day within a moment; see `flush`."""
        if spent:
            self._keep(task_id, spent)
            self.settled(task_id, spent)

    def searched(self, account: days.Account, spent: spend.Spend) -> None:
        """What no task spent."""
        self.days.add(self._clock.now().date(), account, spent)

    async def run(self) -> NoReturn:
        """Flush for ever."""
        await self._flushing.run()

    async def flush(self) -> None:
        """Write what was gathered. What may be written already, since an answer was lost, is kept as doubtful."""
        await self._flushing.once()

    async def _flush(self) -> None:
        for task_id in list(self._unwritten):
            spent = self._unwritten.pop(task_id)
            try:
                with contextlib.suppress(errors.NotFound):
                    await self._record(task_id, spent)
            except errors.Unavailable as error:
                log.warning("What was paid could not be written.", action="spend_unwritten", error=str(error))
                self._keep(task_id, spent.doubtful())
            except BaseException:
                self._keep(task_id, spent.doubtful())
                raise
        try:
            await self._place()
            await self.days.flush()
        except errors.Unavailable as error:
            log.warning("The day's sums could not be written.", action="days_unwritten", error=str(error))

    async def record(self, task_id: str, spent: spend.Spend) -> None:
        """Add at once.

        Raises:
            errors.NotFound: No such task.
            errors.Unavailable: It is in the bill, or not.
        """
        if spent:
            await self._record(task_id, spent)
            self.settled(task_id, spent)

    def _keep(self, task_id: str, spent: spend.Spend) -> None:
        self._unwritten[task_id] = self._unwritten.get(task_id, spend.NOTHING) + spent

    async def _record(self, task_id: str, spent: spend.Spend) -> None:
        adding = table.Update(items.task_key(task_id), add=spent.stored(), when=(table.Equals("kind", "task"),))
        try:
            # A plain update whose answer is lost is made again and would count twice; a transaction has a token.
            await self._table.transact([adding])
        except table.Cancelled as cancelled:
            raise items.unknown(task_id) from cancelled

    async def _place(self) -> None:
        """Into the books of the days, by whose the tasks are."""
        for at in list(self._unplaced):
            day, task_id = at
            try:
                account = await self._account(task_id)
            except errors.NotFound:
                del self._unplaced[at]
                continue
            self.days.add(day, account, self._unplaced.pop(at))

    async def _account(self, task_id: str) -> days.Account:
        found = self._accounts.get(task_id)
        if found is None:
            task = await self._tasks.get(task_id)
            found = days.Account(task["client"], task["namespace"], task.get("model", ""))
            if found.model:  # which it has from its first purchase on
                if len(self._accounts) >= ACCOUNTS:
                    self._accounts.clear()
                self._accounts[task_id] = found
        return found

"""What was paid for chunks that this process did not settle, on its way to their tasks' bills.

A chunk whose lease was lost, whose task was cancelled, blocked or superseded: its vectors are gone, the money too. It
is told within a second or so; a process that is killed takes along what it had not told yet.
"""

from typing import Protocol

import structlog

from services.billing import spend
from services.embedder import indexer_client
from services.runtime import background

log = structlog.get_logger()

FLUSH_SECONDS = 1.0


class Teller(Protocol):
    """`indexer_client.Indexer`, or a fake."""

    async def record_spend(self, task_id: str, spent: spend.Spend) -> None:
        """Add to a task's bill; raises indexer_client.IndexerUnavailable."""


class Unsettled:
    """Adds up by task, and tells now and then."""

    def __init__(self, indexer: Teller) -> None:
        self._indexer = indexer
        self._untold: dict[str, spend.Spend] = {}
        self._flushing = background.Flushing(self._flush, FLUSH_SECONDS)

    def add(self, task_id: str, spent: spend.Spend) -> None:
        """This was paid for the task."""
        self._untold[task_id] = self._untold.get(task_id, spend.NOTHING) + spent

    async def run(self) -> None:
        """Tell for ever."""
        await self._flushing.run()

    async def flush(self) -> None:
        """Tell what was not told yet. What may have been told already is told again as doubtful."""
        await self._flushing.once()

    async def _flush(self) -> None:
        for task_id in list(self._untold):
            spent = self._untold.pop(task_id)
            try:
                await self._indexer.record_spend(task_id, spent)
            except indexer_client.IndexerUnavailable as error:
                log.warning("The indexer was not told what was paid.", action="spend_untold", error=str(error)[:200])
                self.add(task_id, spent.doubtful())
            except BaseException:
                self.add(task_id, spent.doubtful())
                raise

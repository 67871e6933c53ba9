"""Looks at the index now and then, and lets tasks follow: blocked while it takes no vectors, and on when it does again.

The gate blocks a task that wants to buy. But where the embedders have yet to learn from the index how wide vectors are
nobody asks the gate: without this such tasks would stand still, and say nothing.
"""

import asyncio

import structlog

from services.indexer import ledger
from services.indexer.ledger import items
from services.indexer.pinecone import client
from services.indexer.storage import table
from services.runtime import errors

log = structlog.get_logger()

LOOK_SECONDS = 15.0
UNUSABLE, DIMENSION = "INDEX_UNUSABLE", "DIMENSION_REFUSED"


class IndexWatch:
    """Watches one index for one ledger. Any number of processes may do so at once."""

    def __init__(self, index: client.Pinecone, book: ledger.Ledger) -> None:
        self._index = index
        self._ledger = book

    async def run(self) -> None:
        """Look for ever; a round that fails is repeated in the next."""
        while True:
            try:
                await self.look()
            except errors.Unavailable as error:
                log.warning("Tasks could not follow the index.", action="index_watch_failed", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once.

        Raises:
            errors.Unavailable: The ledger does not answer.
        """
        await self._index.look_again()
        if problem := self._index.problem:
            await self._block(problem)
        elif self._index.dimension:
            await self._resume()

    async def _block(self, problem: errors.Conflict) -> None:
        token = ""
        while True:
            page = await self._ledger.listing.open(token)
            for task_id in page.ids:
                await self._ledger.tasks.block(task_id, problem.reason, problem.message)
            token = page.next_page_token
            if not token:
                return

    async def _resume(self) -> None:
        """What was blocked for the index goes on; of those for its dimension the ones that it fits now."""
        for reason in (UNUSABLE, DIMENSION):
            for task in await self._ledger.tasks.get_many(await self._ledger.listing.blocked(reason)):
                stays = task["status"] != items.Status.BLOCKED or task.get("error_reason") != reason
                if stays or (reason == DIMENSION and task.get("dimension") != self._index.dimension):
                    continue
                await self._ledger.resume(str(task[table.KEY]))
                log.info("The index is right again.", action="index_good", task_id=task[table.KEY])

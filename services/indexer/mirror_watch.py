"""Held mirrors that have nothing to wait for any more: another task has taken their turn, and they remove nothing."""

import asyncio

import structlog

from services.indexer import ledger
from services.runtime import errors

log = structlog.get_logger()

LOOK_SECONDS = 15.0


class MirrorWatch:
    """Lets them go on, to end. Any number of processes may do so at once."""

    def __init__(self, book: ledger.Ledger) -> None:
        self._ledger = book

    async def run(self) -> None:
        """Look for ever; a round that fails is repeated in the next."""
        while True:
            try:
                await self._ledger.end_overtaken()
            except errors.Unavailable as error:
                log.warning("Held mirrors could not be looked at.", action="mirror_watch_failed", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)

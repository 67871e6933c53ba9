"""Strikes find the chunk that kills its process.

They count crashes in CPU work on a chunk, not deliveries: the neighbours in a crashed process are delivered again too,
and are innocent.
"""

import asyncio
import contextlib
import enum
import secrets
from collections.abc import AsyncIterator

from services.chunks import entry, errors, settings, store


class Verdict(enum.StrEnum):
    """What a worker does with a chunk that has so many strikes."""

    WORK = "work"
    YIELD = "yield"  # hand it back: it is for an embedder that holds nothing else
    POISON = "poison"  # fail it by its header alone


def is_suspect(strikes: int, limits: settings.QueueLimits) -> bool:
    """Only for an embedder that holds nothing else?"""
    return limits.suspect_strikes <= strikes < limits.poison_strikes


def judge(strikes: int, limits: settings.QueueLimits, *, alone: bool) -> Verdict:
    """What to do with a chunk in the hands of an embedder that holds it alone or not."""
    if strikes >= limits.poison_strikes:
        return Verdict.POISON
    return Verdict.YIELD if is_suspect(strikes, limits) and not alone else Verdict.WORK


class Strikes:
    """Strikes of chunks, kept in Valkey for ``timing.strike_seconds``, dropped with the chunk's ack.

    A strike is a token, so that a repeated call counts once. A removal that Valkey did not take is remembered and sent
    again with the next heartbeat (``settle_debts``): an outage leaves no false strike.
    """

    def __init__(self, queue: store.Store) -> None:
        self._store = queue
        self._one_at_a_time = asyncio.Lock()
        self._owed: set[tuple[str, int, str]] = set()

    @contextlib.asynccontextmanager
    async def guard(self, header: entry.Header) -> AsyncIterator[int]:
        """Do CPU work on a chunk's own bytes, one chunk at a time in this process; never wait in it.

        A strike stands while the body runs. It goes when the body ends, also by an exception or a cancel; it stays
        when the process dies. Yields the strikes with this one.

        Raises:
            errors.QueueUnavailable: The strike could not be written: do not begin; wait and ask again.
        """
        async with self._one_at_a_time:
            token = secrets.token_hex(8)
            try:
                yield await self._add(header, token)
            finally:
                await asyncio.shield(self.remove(header, token))

    async def add(self, header: entry.Header) -> str:
        """Count a strike for work done elsewhere (a call to indexer broke while that decoded); returns its token.

        Raises:
            errors.QueueUnavailable: Not known whether it counts; it will be taken back.
        """
        token = secrets.token_hex(8)
        await self._add(header, token)
        return token

    async def _add(self, header: entry.Header, token: str) -> int:
        try:
            return await self._store.strike(header.task_id, header.chunk, token, add=True)
        except (errors.QueueUnavailable, asyncio.CancelledError):
            self._owed.add((header.task_id, header.chunk, token))
            raise

    async def remove(self, header: entry.Header, token: str) -> None:
        """Take a strike back. Never raises for an outage: it is then owed."""
        debt = (header.task_id, header.chunk, token)
        self._owed.add(debt)
        with contextlib.suppress(errors.QueueUnavailable):
            await self._pay(debt)

    async def count(self, header: entry.Header) -> int:
        """How many a chunk has; those that this process owes back are taken back first, and never counted.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        for debt in [debt for debt in self._owed if debt[:2] == (header.task_id, header.chunk)]:
            await self._pay(debt)
        return await self._store.strikes(header.task_id, header.chunk)

    async def settle_debts(self) -> None:
        """Send the removals that are owed.

        Raises:
            errors.QueueUnavailable: They stay owed.
        """
        for debt in list(self._owed):
            await self._pay(debt)

    async def _pay(self, debt: tuple[str, int, str]) -> None:
        task_id, chunk, token = debt
        await self._store.strike(task_id, chunk, token, add=False)
        self._owed.discard(debt)

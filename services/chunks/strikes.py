"""Strikes find the chunk that kills its process.

They count crashes in CPU work on a chunk, not deliveries: the neighbours in a crashed process are delivered again too,
and are innocent.
"""

import asyncio
import contextlib
import enum
import secrets
from collections.abc import AsyncIterator, Sequence

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
        # Tokens to take back, and from which chunks.
        self._owed: dict[str, tuple[store.Struck, ...]] = {}

    @contextlib.asynccontextmanager
    async def guard(self, *headers: entry.Header) -> AsyncIterator[int]:
        """Do CPU work on a chunk's own bytes, one after the other in this process; never wait in it.

        A strike stands while the body runs. It goes when the body ends, also by an exception or a cancel; it stays
        when the process dies. Yields the most strikes that a chunk has with this one.

        Args:
            headers: One chunk; or several without any strike, of which a crash then strikes each: whoever has one
                already is to be worked by itself, so that no neighbour's crash ever makes a suspect.

        Raises:
            errors.QueueUnavailable: The strike could not be written: do not begin; wait and ask again.
        """
        async with self._one_at_a_time:
            token = secrets.token_hex(8)
            try:
                yield max(await self._add(headers, token))
            finally:
                await asyncio.shield(self.remove(token, *headers))

    async def add(self, header: entry.Header) -> str:
        """Count a strike for work done elsewhere (a call to indexer broke while that decoded); returns its token.

        Raises:
            errors.QueueUnavailable: Not known whether it counts; it will be taken back.
        """
        token = secrets.token_hex(8)
        await self._add((header,), token)
        return token

    async def _add(self, headers: Sequence[entry.Header], token: str) -> list[int]:
        struck = _of(headers)
        try:
            return await self._store.strike(struck, token, add=True)
        except (errors.QueueUnavailable, asyncio.CancelledError):
            self._owed[token] = struck
            raise

    async def remove(self, token: str, *headers: entry.Header) -> None:
        """Take a strike back. Never raises for an outage: it is then owed."""
        self._owed[token] = _of(headers)
        with contextlib.suppress(errors.QueueUnavailable):
            await self._pay(token)

    async def count(self, header: entry.Header) -> int:
        """How many a chunk has; those that this process owes back are taken back first, and never counted.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        chunk = (header.task_id, header.chunk)
        for token in [token for token, struck in self._owed.items() if chunk in struck]:
            await self._pay(token)
        return await self._store.strikes(header.task_id, header.chunk)

    async def settle_debts(self) -> None:
        """Send the removals that are owed.

        Raises:
            errors.QueueUnavailable: They stay owed.
        """
        for token in list(self._owed):
            await self._pay(token)

    async def _pay(self, token: str) -> None:
        if struck := self._owed.get(token):
            await self._store.strike(struck, token, add=False)
            self._owed.pop(token, None)


def _of(headers: Sequence[entry.Header]) -> tuple[store.Struck, ...]:
    return tuple((header.task_id, header.chunk) for header in headers)

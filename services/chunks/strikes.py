"""Strikes find the chunk that kills its process.

They count crashes in CPU work on a chunk, not deliveries: the neighbours in a crashed process are delivered again too,
and are innocent.
"""

import asyncio
import contextlib
import enum
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from services.chunks import entry, errors, settings, store

if TYPE_CHECKING:
    from services.chunks.delivery import Delivery


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

    Only who has a chunk in hand may strike it: the queue looks in the same call, and a delivery that it refuses is
    lost. One that was lost in the depths of a long stall would else leave a strike of a task that is over.

    A strike is a token, so that a repeated call counts once. A removal that Valkey did not take is remembered and sent
    again with the next heartbeat (``settle_debts``): an outage leaves no false strike.

    Args:
        queue: The store.
        consumer: The name under which this process takes chunks.
    """

    def __init__(self, queue: store.Store, consumer: str) -> None:
        self._store = queue
        self._consumer = consumer
        self._one_at_a_time = asyncio.Lock()
        # Tokens to take back, and from which chunks.
        self._owed: dict[str, tuple[store.Struck, ...]] = {}

    @contextlib.asynccontextmanager
    async def guard(self, *deliveries: "Delivery") -> AsyncIterator[Sequence["Delivery"]]:
        """Do CPU work on a chunk's own bytes, one after the other in this process; never wait in it.

        A strike stands while the body runs. It goes when the body ends, also by an exception or a cancel; it stays
        when the process dies. Yields those that are struck: the others are lost, and not to be worked.

        Args:
            deliveries: One chunk; or several without any strike, of which a crash then strikes each: whoever has one
                already is to be worked by itself, so that no neighbour's crash ever makes a suspect.

        Raises:
            errors.QueueUnavailable: The strike could not be written: do not begin; wait and ask again.
        """
        async with self._one_at_a_time:
            token = secrets.token_hex(8)
            try:
                await self._add(deliveries, token)
                yield [each for each in deliveries if not each.lost.is_set()]
            finally:
                await asyncio.shield(self.remove(token, *deliveries))

    async def add(self, *deliveries: "Delivery") -> str:
        """Count a strike for work done elsewhere (a call to indexer broke while that decoded); returns its token.

        Empty: the chunks are others', nothing is counted.

        Args:
            deliveries: As of `guard`.

        Raises:
            errors.QueueUnavailable: Not known whether it counts; it will be taken back.
        """
        token = secrets.token_hex(8)
        await self._add(deliveries, token)
        return "" if all(each.lost.is_set() for each in deliveries) else token

    async def _add(self, deliveries: Sequence["Delivery"], token: str) -> None:
        """Strike those that this process owns; the others are lost from now on."""
        asked: Sequence[Delivery] = deliveries
        try:
            while asked:
                held = [(each.claim, each.header) for each in asked]
                counts = await self._store.strike(self._consumer, held, token)
                again = []
                for each, (claim, _), count in zip(asked, held, counts, strict=True):
                    if not count and each.claim == claim:
                        each.lose(each.NOT_OWNER)
                    elif not count:  # meanwhile it was handed to this very process anew
                        again.append(each)
                asked = again
        except (errors.QueueUnavailable, asyncio.CancelledError):
            self._owed[token] = _of(deliveries)
            raise

    async def remove(self, token: str, *deliveries: "Delivery") -> None:
        """Take a strike back. Never raises for an outage: it is then owed."""
        self._owed[token] = _of(deliveries)
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
            await self._store.take_back(struck, token)
            self._owed.pop(token, None)


def _of(deliveries: Sequence["Delivery"]) -> tuple[store.Struck, ...]:
    return tuple((each.header.task_id, each.header.chunk) for each in deliveries)

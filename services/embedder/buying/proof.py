"""Whose fault is a refusal? Asked by bulk, searches and the account's probe before a text or the account is blamed.

A status does not tell: a 403 is a web firewall that dislikes one row, or a key that may not; a 400 is a row, an unpaid
budget, an expired key or a model that was unloaded. What tells is whether anything is bought: a refusal is a text's
only if something was bought by a request that *began after* the refused one; else a harmless text is asked for.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from services.embedder.buying import shared_backoff
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors

# The parameters that a server does not take are found out one after the other; a page of some proxy that is shut down
# for a moment is no account.
PROBES = 5
AGAIN_SECONDS = 0.5

Permit = Callable[[], Awaitable[object]]


async def probe(source: shared_backoff.SharedBackoff, permit: Permit) -> None:
    """Buy the harmless text, in a few attempts, each with a permit of its own.

    Raises:
        openai_errors.AccountRefused: It is refused too, or answered with what is no embedding: no text is to blame.
        openai_errors.Failed, openai_errors.Throttled: Nobody can tell now.
    """
    strange: openai_errors.Invalid | None = None
    for _ in range(PROBES):
        await permit()
        try:
            await source.embed([openai_client.PROBE_TEXT])
        except openai_errors.Adapted:
            continue
        except openai_errors.Refused as refusal:
            raise openai_errors.AccountRefused(f"Every text is refused: {refusal}") from refusal
        except openai_errors.WrongWidth as wrong:
            raise openai_errors.AccountRefused(f"{wrong} The model or EMBEDDING_DIMENSIONS is wrong.") from wrong
        except openai_errors.Invalid as invalid:
            strange = invalid
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return
    if strange is None:
        raise openai_errors.Failed("The server takes none of the forms of a request.")
    raise openai_errors.AccountRefused(f"No answer holds embeddings: {strange}") from strange


class Proof:
    """What this process knows of whether the provider takes anything from it. One probe at a time, for all that ask."""

    def __init__(self, source: shared_backoff.SharedBackoff) -> None:
        self._source = source
        self._numbers = itertools.count(1)
        self._bought = 0
        self._asking = asyncio.Lock()

    def begin(self) -> int:
        """A request begins now; its number, by which it is older than all that begin after it."""
        return next(self._numbers)

    def bought(self, began: int) -> None:
        """The request of this number brought embeddings."""
        self._bought = max(self._bought, began)

    async def since(self, began: int, permit: Permit) -> None:
        """Return if something is bought by a request that began after this one; a probe, where nothing was yet.

        Raises:
            Everything that `probe` does; and what `permit` does.
        """
        async with self._asking:
            if self._bought <= began:
                await self.probe(permit)

    async def probe(self, permit: Permit) -> None:
        """Buy the harmless text now. Raises what the function `probe` does."""
        number = self.begin()
        await probe(self._source, permit)
        self.bought(number)

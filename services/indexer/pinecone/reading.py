"""What the index says of its records: ids by prefix, and records by id, within its limits of both.

https://docs.pinecone.io/reference/api/database-limits/rate-limits: 200 lists and 100 fetches a second of an index; a
page of a list has 100 ids. All indexers share these with everybody else, so each takes a part, and waits when told to.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import pinecone.errors

from services.billing import spend, units
from services.indexer.pinecone import batch, client
from services.runtime import errors

LISTS_PER_SECOND, FETCHES_PER_SECOND = 80.0, 40.0
FETCHED: Final = 100
# An index that is asked too often is asked again after 1, 2, 4 … seconds, so often.
PATIENCE: Final = 5
TOO_MANY, NOT_FOUND = 429, 404

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Page:
    """Ids of a list, where to go on (empty: these are the last), and what it cost."""

    ids: list[str]
    token: str
    spent: spend.Spend


class Records(Protocol):
    """Fetches records."""

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, batch.Record]:
        """See `transport.Way.fetch`."""


class Pace:
    """Lets calls begin no faster than so many a second."""

    def __init__(self, per_second: float) -> None:
        self._seconds = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until one may begin."""
        now = asyncio.get_running_loop().time()
        begins = max(now, self._next)
        self._next = begins + self._seconds
        if begins > now:
            await asyncio.sleep(begins - now)


class Reading:
    """Reads one index.

    Args:
        index: Its client.
        records: Fetches records of it.
    """

    def __init__(self, index: client.Pinecone, records: Records) -> None:
        self.index = index
        self._records = records
        self._lists, self._fetches = Pace(LISTS_PER_SECOND), Pace(FETCHES_PER_SECOND)

    def dimension(self) -> int:
        """Values a vector; 0: not known yet."""
        return self.index.dimension

    async def list_ids(self, namespace: str, prefix: str, token: str = "") -> AsyncIterator[Page]:
        """Ids of a namespace that begin with a prefix, up to a hundred at a time.

        Args:
            namespace: The namespace.
            prefix: What they begin with.
            token: Go on after a page; empty: from the beginning.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """
        following: str | None = token or None
        while True:
            asked = {"prefix": prefix, "namespace": namespace, "pagination_token": following}
            page = await _patient(self._lists, lambda asked=asked: self._page(asked))  # type: ignore[misc]
            if page is None:
                return
            ids = [each.id for each in page.vectors]
            following = page.pagination.next if page.pagination else None
            yield Page(ids, following or "", spend.Spend(read_thousandths=units.of_list(len(ids))))
            if not following:
                return

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batch.Record], spend.Spend]:
        """The records that are there, by id, and what it cost to ask.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """
        found: dict[str, batch.Record] = {}
        spent = spend.NOTHING
        for start in range(0, len(ids), FETCHED):
            group = ids[start : start + FETCHED]
            answer = await _patient(
                self._fetches,
                lambda group=group: self._records.fetch(namespace, group),  # type: ignore[misc]
            )
            spent += spend.Spend(read_thousandths=units.of_fetch(len(answer)))
            found |= answer
        return found, spent

    async def _page(self, asked: dict[str, Any]) -> Any:
        data, key = await self.index.data_plane()
        try:
            return await data.list_paginated(**asked)
        except pinecone.errors.PineconeError as error:
            status = getattr(error, "status_code", 0)
            if status == NOT_FOUND:  # no such namespace
                return None
            if status == TOO_MANY:
                raise batch.unanswered(busy=True) from error
            raise await self.index.unavailable(error, key) from error


async def _patient(pace: Pace, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask once it may be, and again where the index is asked too often."""
    for attempt in range(PATIENCE):
        await pace.turn()
        try:
            return await call()
        except errors.Unavailable as error:
            if error.reason != batch.BUSY:
                raise
        await asyncio.sleep(2.0**attempt)
    await pace.turn()
    return await call()

"""Lists tasks by the sparse index: `open`, `blocked` and `closed`, each in the order of creation.

The index follows a moment behind the tasks.
"""

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from services.indexer.ledger import items
from services.indexer.ledger.items import Listing, Status
from services.indexer.storage import table
from services.runtime import errors

OPEN_PAGE: Final = 200
# Tasks that one request to the index looks at, of which a filter may leave few.
LOOK: Final = 200
_CHECK_BYTES: Final = 4
_BAD_TOKEN: Final = errors.FieldViolation(
    "page_token", "The next_page_token of a page with the same filters, or empty."
)


@dataclasses.dataclass(frozen=True)
class Query:
    """Which tasks; an empty filter lets all pass. `client` empty: everybody's."""

    status: str = ""
    task_type: str = ""
    client: str = ""

    @property
    def partitions(self) -> Sequence[Listing]:
        """Where such tasks are listed."""
        return (items.listing(Status(self.status)),) if self.status else tuple(Listing)

    @property
    def equal(self) -> dict[str, str]:
        """The filter on what is read."""
        wanted = {"status": self.status, "task_type": self.task_type, "client": self.client}
        return {name: value for name, value in wanted.items() if value}


@dataclasses.dataclass(frozen=True)
class Page:
    """Tasks and the token of the next page, empty on the last."""

    tasks: list[table.Item]
    next_page_token: str


class Tasks:
    """Lists tasks."""

    def __init__(self, storage: table.Table) -> None:
        self._table = storage

    async def newest(self, query: Query, *, limit: int, offset: int = 0, page_token: str = "") -> Page:
        """Tasks, newest first.

        Raises:
            errors.InvalidArgument: The token is not of a page of the same query.
        """
        after = _decode(page_token, query) if page_token else ""
        seen: dict[str, table.Item] = {}
        async for task in self._merged(query, after, look=min(LOOK, offset + limit + 1)):
            seen[task[table.KEY]] = task  # one that moved between partitions meanwhile is met twice
            if len(seen) > offset + limit:
                break
        tasks = list(seen.values())
        page = tasks[offset : offset + limit]
        more = len(tasks) > offset + limit
        return Page(page, _encode(page[-1][table.INDEX_SORT], query) if more else "")

    async def open(self, page_token: str = "") -> Page:
        """A page of open tasks, oldest first.

        Raises:
            errors.InvalidArgument: The token is not of such a page.
        """
        query = Query(status="")
        after = _decode(page_token, query) if page_token else ""
        page = await self._table.query(Listing.OPEN, after=after, newest_first=False, equal={}, limit=OPEN_PAGE)
        return Page(page.items, _encode(page.next, query) if page.next else "")

    async def since(self, moment: str | None, client: str = "") -> AsyncIterator[table.Item]:
        """Every open and blocked task, then the finished ones that were stored since `moment`; newest first in each.

        One that moves between the partitions meanwhile may come twice, never not at all.

        Args:
            moment: RFC 3339, as stored; None: no finished ones.
            client: Only this client's; empty: everybody's.
        """
        equal = {"client": client} if client else {}
        bounds = {Listing.OPEN: "", Listing.BLOCKED: "", **({} if moment is None else {Listing.CLOSED: moment})}
        for partition, bound in bounds.items():
            after = ""
            while True:
                page = await self._table.query(partition, after=after, newest_first=True, equal=equal, limit=LOOK)
                for task in page.items:
                    if task["created_at"] >= bound:
                        yield task
                after = page.next
                if not after or after < bound:
                    break

    async def blocked(self, reason: str) -> list[str]:
        """Ids of all blocked tasks, of one reason if it is given."""
        equal = {"error_reason": reason} if reason else {}
        tasks = self._partition(Listing.BLOCKED, "", equal, LOOK, newest_first=False)
        return [str(task[table.KEY]) async for task in tasks]

    async def _merged(self, query: Query, after: str, look: int) -> AsyncIterator[table.Item]:
        """The partitions merged, newest first. Tasks end in `closed`, so that one is read last."""
        sources = [
            self._partition(partition, after, query.equal, LOOK if query.equal else look, newest_first=True)
            for partition in query.partitions
        ]
        heads: list[table.Item | None] = [await anext(source, None) for source in sources]
        while any(head is not None for head in heads):
            newest = max(
                (number for number, head in enumerate(heads) if head is not None),
                key=lambda number: str((heads[number] or {})[table.INDEX_SORT]),
            )
            head = heads[newest]
            heads[newest] = await anext(sources[newest], None)
            if head is not None:
                yield head

    async def _partition(
        self, partition: Listing, after: str, equal: dict[str, str], look: int, *, newest_first: bool
    ) -> AsyncIterator[table.Item]:
        while True:
            page = await self._table.query(partition, after=after, newest_first=newest_first, equal=equal, limit=look)
            for task in page.items:
                yield task
            if not page.next:
                return
            after = page.next


def bad_token(page_token: str, query: Query) -> list[errors.FieldViolation]:
    """What is wrong with a token for this query; empty: nothing."""
    return [] if not page_token or _position(page_token, query) is not None else [_BAD_TOKEN]


def _encode(position: str, query: Query) -> str:
    return base64.urlsafe_b64encode(_check(query) + position.encode()).decode().rstrip("=")


def _decode(token: str, query: Query) -> str:
    position = _position(token, query)
    if position is None:
        raise errors.InvalidArgument("The request has a bad field.", violations=(_BAD_TOKEN,))
    return position


def _position(token: str, query: Query) -> str | None:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if raw[:_CHECK_BYTES] == _check(query) and len(raw) > _CHECK_BYTES:
            return raw[_CHECK_BYTES:].decode()
    except (binascii.Error, ValueError):
        pass
    return None


def _check(query: Query) -> bytes:
    """Ties a token to its query: a page of other filters would leave tasks out silently."""
    return hashlib.sha256(repr(dataclasses.astuple(query)).encode()).digest()[:_CHECK_BYTES]

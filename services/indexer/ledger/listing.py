"""Lists tasks by two sparse indexes, everybody's and each client's: by the class of their status, in order of creation.

The indexes follow a moment behind the tasks, and say which tasks there are; what is shown of one is read from its item.
A table that was made before there was an index of clients has tasks that are not in it: until `vectorline init
--migrate` put them there, a client's tasks are sought among everybody's, a bounded number of looks a call.
"""

import base64
import binascii
import collections
import dataclasses
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from services.indexer.ledger import items
from services.indexer.ledger.items import Listing, Status
from services.indexer.storage import table
from services.runtime import errors

# Their requests have up to 64 KB each, and a message 16 MiB.
OPEN_PAGE: Final = 100
# Tasks that one request to an index looks at, of which a filter may leave few.
LOOK: Final = 500
# The same where every task is wanted: DynamoDB answers 1 MB at most, which is some thousand of them.
EVERY_LOOK: Final = 2_500
# Requests to an index in one call: what they do not reach, the next page does.
LOOKS: Final = 40
# Until the index of clients holds every task: how often to see whether it does by now.
UNINDEXED_SECONDS: Final = 60.0
# Tasks end in the last four. A resumed one comes back from `blocked`, which is read before `open` and after it: so no
# move between two reads hides a task.
ORDER: Final = (
    Listing.BLOCKED,
    Listing.OPEN,
    Listing.BLOCKED,
    Listing.COMPLETED,
    Listing.PARTIALLY_COMPLETED,
    Listing.FAILED,
    Listing.CANCELLED,
    Listing.CLOSED,
)
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
    def listings(self) -> Sequence[Listing]:
        """Where such tasks are listed, in the order to look there."""
        if not self.status:
            return ORDER
        where = items.listing(Status(self.status))
        return (where,) if where in (Listing.OPEN, Listing.BLOCKED) else (where, Listing.CLOSED)


@dataclasses.dataclass(frozen=True)
class Listed:
    """A task as an index tells of it: which, where it stands in the order of creation, whose it is, and its status.

    The status is a moment old.
    """

    task_id: str
    position: str
    status: str = ""
    client: str = ""

    @property
    def created_at(self) -> str:
        """When it was stored, RFC 3339."""
        return self.position.partition("#")[0]


@dataclasses.dataclass(frozen=True)
class Page:
    """Tasks and the token of the next page, empty on the last. A page may hold fewer than were asked for, even none."""

    tasks: list[Listed]
    next_page_token: str

    @property
    def ids(self) -> list[str]:
        """The tasks' ids."""
        return [task.task_id for task in self.tasks]


@dataclasses.dataclass
class _Source:
    """A partition, read as far as `after`."""

    index: table.Index
    partition: str
    equal: dict[str, str]
    after: str
    done: bool = False
    ready: collections.deque[Listed] = dataclasses.field(default_factory=collections.deque)


class Tasks:
    """Lists tasks.

    Args:
        storage: The table.
        clock: Seconds that only grow.
    """

    def __init__(self, storage: table.Table, clock: Callable[[], float] | None = None) -> None:
        self._table = storage
        self._clock = clock or time.monotonic
        self._indexed = False
        self._looked = float("-inf")

    async def newest(self, query: Query, *, limit: int, offset: int = 0, page_token: str = "") -> Page:
        """Tasks, newest first.

        Raises:
            errors.InvalidArgument: The token is not of a page of the same query.
        """
        after, skipped = _decode(page_token, query) if page_token else ("", 0)
        offset += skipped
        sources = await self._sources(query, after)
        found: dict[str, Listed] = {}  # one that moved between partitions meanwhile is met twice
        looks = LOOKS
        while len(found) <= offset + limit:
            hungry = [source for source in sources if not source.ready and not source.done]
            if len(hungry) > looks:
                # Newer than this, everything was looked at; at this point the next page goes on.
                bound = max(source.after or "~" for source in hungry)
                _take(found, sources, lambda task: task.position > bound)  # noqa: B023 (called at once)
                return _page(list(found.values()), limit, offset, query, bound)
            for source in hungry:
                await self._read(source, min(LOOK, offset + limit + 1))
                looks -= 1
            if any(not source.ready and not source.done for source in hungry):
                continue  # a filter left nothing of what was read: what comes next there may be the newest
            newest = max((source.ready[0].position for source in sources if source.ready), default=None)
            if newest is None:
                break
            _take(found, sources, lambda task: task.position == newest)  # noqa: B023 (called at once)
        return _page(list(found.values()), limit, offset, query, "")

    async def open(self, page_token: str = "") -> Page:
        """A page of open tasks, oldest first.

        Raises:
            errors.InvalidArgument: The token is not of such a page.
        """
        query = Query(status="")
        after, _ = _decode(page_token, query) if page_token else ("", 0)
        page = await self._table.query(
            table.ALL, Listing.OPEN, after=after, newest_first=False, equal={}, limit=OPEN_PAGE
        )
        return Page([_listed(task) for task in page.items], _encode(page.next, query) if page.next else "")

    async def since(self, moment: str | None, client: str = "") -> AsyncIterator[Listed | None]:
        """Every open and blocked task, then the finished ones that were stored since `moment`; newest first in each.

        One that moves between the partitions meanwhile may come twice, never not at all.

        Args:
            moment: RFC 3339, as stored; None: no finished ones.
            client: Only this client's; empty: everybody's.

        Yields:
            Tasks; None, and then no more, where looking further would take too long.
        """
        looks = LOOKS
        for source in await self._sources(Query(client=client), ""):
            unfinished = source.partition.rpartition("#")[2] in (Listing.OPEN, Listing.BLOCKED)
            if moment is None and not unfinished:
                continue
            bound = "" if unfinished or moment is None else moment
            while not source.done and (not source.after or source.after >= bound):
                if not looks:
                    yield None
                    return
                looks -= 1
                await self._read(source, LOOK)
                while source.ready:
                    task = source.ready.popleft()
                    if task.created_at >= bound:
                        yield task

    async def every(self, most: int) -> tuple[list[Listed], bool]:
        """All tasks, newest first, at a request for some thousand of them.

        Args:
            most: So many of the newest, at most.

        Returns:
            The tasks, and whether there are older ones.
        """
        found: dict[str, Listed] = {}
        more = False
        for source in await self._sources(Query(), ""):
            count = 0
            while not source.done and count <= most:
                await self._read(source, EVERY_LOOK)
                count += len(source.ready)
                found.update((task.task_id, task) for task in source.ready)  # one that moved meanwhile is met later
                source.ready.clear()
            more = more or not source.done
        newest = sorted(found.values(), key=lambda task: task.position, reverse=True)
        return newest[:most], more or len(newest) > most

    async def blocked(self, reason: str) -> list[str]:
        """Ids of all blocked tasks, of one reason if it is given."""
        equal = {"error_reason": reason} if reason else {}
        found: list[str] = []
        after = ""
        while True:
            page = await self._table.query(
                table.ALL, Listing.BLOCKED, after=after, newest_first=False, equal=equal, limit=LOOK
            )
            found += [str(task[table.KEY]) for task in page.items]
            after = page.next
            if not after:
                return found

    async def _sources(self, query: Query, after: str) -> list[_Source]:
        """What to read for a query, in this order."""
        indexed = await self._all_indexed()
        listings = [each for each in query.listings if each is not Listing.CLOSED or not indexed]
        # An open task's status changes without its place in the index.
        equal = {"status": query.status, "task_type": query.task_type}
        if query.client and indexed:
            found = {name: value for name, value in equal.items() if value}
            partitions = [items.client_listing(query.client, each) for each in listings]
            return [_Source(table.OF_CLIENT, partition, found, after) for partition in partitions]
        found = {name: value for name, value in {**equal, "client": query.client}.items() if value}
        return [_Source(table.ALL, str(each), found, after) for each in listings]

    async def _read(self, source: _Source, limit: int) -> None:
        page = await self._table.query(
            source.index,
            source.partition,
            after=source.after,
            newest_first=True,
            equal=source.equal,
            limit=LOOK if source.equal else limit,
        )
        source.ready.extend(_listed(task) for task in page.items)
        source.after, source.done = page.next, not page.next

    async def _all_indexed(self) -> bool:
        """Whether the index of clients holds every task; once it does, it always will."""
        if not self._indexed and self._clock() - self._looked > UNINDEXED_SECONDS:
            self._looked = self._clock()
            self._indexed = await self._table.get(items.INDEXED_KEY) is not None
        return self._indexed


def _page(tasks: list[Listed], limit: int, offset: int, query: Query, bound: str) -> Page:
    """A page of what was found; with a bound, everything newer than that, and there is more."""
    page = tasks[offset : offset + limit]
    if len(tasks) > offset + limit:
        return Page(page, _encode(page[-1].position, query))
    return Page(page, _encode(bound, query, max(0, offset - len(tasks))) if bound else "")


def _listed(task: table.Item) -> Listed:
    return Listed(str(task[table.KEY]), str(task[table.ALL.sort]), task.get("status", ""), task.get("client", ""))


def _take(found: dict[str, Listed], sources: Sequence[_Source], wanted: Callable[[Listed], bool]) -> None:
    """Move those at the head of the sources that are wanted, newest first."""
    taken: list[Listed] = []
    for source in sources:
        while source.ready and wanted(source.ready[0]):
            taken.append(source.ready.popleft())
    for task in sorted(taken, key=lambda each: each.position, reverse=True):
        found.setdefault(task.task_id, task)


def token_before(task: Listed, query: Query) -> str:
    """The token of the page that begins with this task."""
    return _encode(f"{task.position}~", query)


def bad_token(page_token: str, query: Query) -> list[errors.FieldViolation]:
    """What is wrong with a token for this query; empty: nothing."""
    return [] if not page_token or _position(page_token, query) is not None else [_BAD_TOKEN]


def _encode(position: str, query: Query, skip: int = 0) -> str:
    text = f"{position}|{skip}" if skip else position
    return base64.urlsafe_b64encode(_check(query) + text.encode()).decode().rstrip("=")


def _decode(token: str, query: Query) -> tuple[str, int]:
    """Where to go on, and how many tasks to skip there."""
    position = _position(token, query)
    if position is None:
        raise errors.InvalidArgument("The request has a bad field.", violations=(_BAD_TOKEN,))
    return position


def _position(token: str, query: Query) -> tuple[str, int] | None:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if raw[:_CHECK_BYTES] == _check(query) and len(raw) > _CHECK_BYTES:
            position, _, skip = raw[_CHECK_BYTES:].decode().partition("|")
            return position, int(skip or 0)
    except (binascii.Error, ValueError):
        pass
    return None


def _check(query: Query) -> bytes:
    """Ties a token to its query: a page of other filters would leave tasks out silently."""
    return hashlib.sha256(repr(dataclasses.astuple(query)).encode()).digest()[:_CHECK_BYTES]

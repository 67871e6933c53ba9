"""A table in memory: the fake that stands beside `table.Table`, for tests and simulations."""

import copy
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from services.indexer.storage import limits, table


async def _go_on() -> None:
    """No pause."""


class MemoryTable:
    """A `table.Table` in memory, with DynamoDB's meaning of every condition and write, and its limits.

    Args:
        pause: Awaited before and after each operation takes effect: a scheduler interleaves, crashes and loses
            answers there.
    """

    def __init__(self, pause: Callable[[], Awaitable[None]] = _go_on) -> None:
        self.items: dict[str, table.Item] = {}
        self._pause = pause

    async def get(self, key: str) -> table.Item | None:
        """Read an item."""
        await self._pause()
        item = copy.deepcopy(self.items.get(key))
        await self._pause()
        return item

    async def get_many(self, keys: Sequence[str], paths: Sequence[table.Path] = ()) -> dict[str, table.Item]:
        """Read items one after the other: like BatchGetItem, they are not one snapshot."""
        found: dict[str, table.Item] = {}
        for key in dict.fromkeys(keys):
            await self._pause()
            if key in self.items:
                found[key] = copy.deepcopy(_project(self.items[key], paths))
        await self._pause()
        return found

    async def put(self, write: table.Put) -> None:
        """Put an item."""
        await self._pause()
        self._apply(write)
        await self._pause()

    async def update(self, write: table.Update) -> table.Item:
        """Change an item."""
        await self._pause()
        self._apply(write)
        item = self.items[write.key]
        if write.answer is table.Answer.WRITTEN:
            item = _project(item, (*_written(write), *write.told), with_key=False)
        item = copy.deepcopy(item)
        await self._pause()
        return item

    async def transact(self, writes: Sequence[table.Write]) -> None:
        """Apply all writes or none."""
        await self._pause()
        for write in writes:
            if not self._holds(write):
                raise table.Cancelled
        limits.check_transaction([self._changed(write) for write in writes])
        for write in writes:
            if not isinstance(write, table.Check):
                self._apply(write)
        await self._pause()

    async def query(
        self,
        index: table.Index,
        partition: str,
        *,
        after: str = "",
        newest_first: bool,
        equal: Mapping[str, table.Value],
        limit: int,
    ) -> table.Page:
        """Read a page of an index, in which items lie whole."""
        await self._pause()
        rows = sorted(
            (item for item in self.items.values() if item.get(index.partition) == partition),
            key=lambda item: str(item[index.sort]),
            reverse=newest_first,
        )
        if after:
            rows = [row for row in rows if (row[index.sort] < after) == newest_first]
            rows = [row for row in rows if row[index.sort] != after]
        page = _page(rows, limit)
        told = (index.sort, *table.PROJECTED)
        found = [row for row in page if all(row.get(name) == value for name, value in equal.items())]
        answer = table.Page(
            [copy.deepcopy(_project(row, told)) for row in found],
            str(page[-1][index.sort]) if len(rows) > len(page) else "",
        )
        await self._pause()
        return answer

    def _holds(self, write: table.Write) -> bool:
        item = self.items.get(write.key, {})
        return all(_true(one, item) for one in write.when)

    def _apply(self, write: table.Put | table.Update) -> None:
        if not self._holds(write):
            raise table.ConditionFailed(copy.deepcopy(self.items.get(write.key)))
        self.items[write.key] = self._changed(write)

    def _changed(self, write: table.Write) -> table.Item:
        """The item as it would be."""
        if isinstance(write, table.Check):
            return self.items.get(write.key, {table.KEY: write.key})
        if isinstance(write, table.Put):
            item = copy.deepcopy(write.item)
        else:
            item = copy.deepcopy(self.items.get(write.key, {table.KEY: write.key}))
            for path, value in _values(write, item):
                _set(item, path, copy.deepcopy(value))
            for path in write.remove:
                _remove(item, path)
        limits.check(item)
        return item


def _page(rows: Sequence[table.Item], limit: int) -> list[table.Item]:
    """The first rows that a page holds."""
    page: list[table.Item] = []
    room = limits.PAGE_BYTES
    for row in rows[:limit]:
        page.append(row)
        room -= limits.size(row)
        if room < 0:
            break
    return page


def _written(write: table.Update) -> tuple[table.Path, ...]:
    return (*write.set, *write.keep, *write.add, *write.append)


_NOTHING = object()


def _look(item: table.Item, path: table.Path) -> Any:
    value: Any = item
    for part in table.parts(path):
        if not isinstance(value, dict) or part not in value:
            return _NOTHING
        value = value[part]
    return value


def _true(one: table.Condition, item: table.Item) -> bool:  # noqa: PLR0911 (one line a condition)
    value = _look(item, one.path)
    match one:
        case table.Exists():
            return value is not _NOTHING
        case table.Missing():
            return value is _NOTHING
        case table.Equals(value=wanted):
            return bool(value == wanted)
        case table.OneOf(values=wanted):
            return value in wanted
        case table.Below(value=limit):
            return value is not _NOTHING and bool(value < limit)
        case table.Lacks(value=wanted):
            return value is _NOTHING or wanted not in value
        case table.Same(other=other):
            return value is not _NOTHING and bool(value == _look(item, other))


def _values(write: table.Update, item: table.Item) -> list[tuple[table.Path, Any]]:
    """What is to be written; like DynamoDB, computed from the item as it was."""
    return list(_computed(write, item))


def _computed(write: table.Update, item: table.Item) -> Iterator[tuple[table.Path, Any]]:
    yield from write.set.items()
    for path, value in write.keep.items():
        if _look(item, path) is _NOTHING:
            yield path, value
    for path, number in write.add.items():
        old = _look(item, path)
        yield path, number if old is _NOTHING else old + number
    for path, value in write.append.items():
        old = _look(item, path)
        yield path, [value] if old is _NOTHING else [*old, value]


def _set(item: table.Item, path: table.Path, value: Any) -> None:
    *way, last = table.parts(path)
    target: Any = item
    for part in way:
        target = target[part]  # like DynamoDB: a map on the way must be there
    target[last] = value


def _remove(item: table.Item, path: table.Path) -> None:
    *way, last = table.parts(path)
    target = _look(item, tuple(way)) if way else item
    if target is not _NOTHING:
        target.pop(last, None)


def _project(item: table.Item, paths: Sequence[table.Path], *, with_key: bool = True) -> table.Item:
    if not paths:
        return item
    kept: table.Item = {table.KEY: item[table.KEY]} if with_key else {}
    for path in paths:
        value = _look(item, path)
        if value is _NOTHING:
            continue
        target = kept
        *way, last = table.parts(path)
        for part in way:
            target = target.setdefault(part, {})
        target[last] = value
    return kept

"""Pages of tasks, newest first, whole and without repetition."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from services.indexer.ledger import items, listing
from services.indexer.ledger.items import Status
from services.indexer.storage import memory, table
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line


@pytest.fixture(params=["indexed", "older"])
def line(request: pytest.FixtureRequest) -> Line:
    """A table in whose index of clients every task is, and one of which that is not known."""
    return indexed() if request.param == "indexed" else ledgers.line()


def indexed() -> Line:
    line = ledgers.line(Counting())
    line.storage.items[items.INDEXED_KEY] = {table.KEY: items.INDEXED_KEY, "kind": "index"}
    return line


class Counting(memory.MemoryTable):
    """Counts what is read of the indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = 0
        self.read = 0

    async def query(self, *arguments: Any, **named: Any) -> table.Page:
        page = await super().query(*arguments, **named)
        self.queries += 1
        self.read += len(page.items)
        return page


async def several(line: Line, count: int = 6) -> list[str]:
    """Tasks of which every third is blocked and every third cancelled; oldest first."""
    made = []
    for number in range(count):
        line.time.pass_by(1)
        task_id = await ledgers.create(line.book, client="ann" if number % 2 else "bob", request_id=str(number))
        if number % 3 == 1:
            await line.book.tasks.block(task_id, "ACCOUNT_REFUSED" if number % 2 else "CAP", "m")
        if number % 3 == 2:
            await line.book.tasks.cancel(task_id)
        made.append(task_id)
    return made


def ids(page: listing.Page) -> list[str]:
    return page.ids


async def test_all_statuses_are_merged_newest_first(line: Line) -> None:
    made = await several(line)
    page = await line.book.listing.newest(listing.Query(), limit=100)
    assert ids(page) == made[::-1]
    assert page.next_page_token == ""


@hypothesis.settings(
    max_examples=40, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(count=strategies.integers(0, 12), size=strategies.integers(1, 5), offset=strategies.integers(0, 4))
def test_pages_add_up_to_the_whole(line: Line, count: int, size: int, offset: int) -> None:
    line = ledgers.line() if type(line.storage) is memory.MemoryTable else indexed()

    async def walk() -> list[str]:
        made = await several(line, count)
        seen: list[str] = []
        token = ""
        while True:
            skip = 0 if token else offset
            page = await line.book.listing.newest(listing.Query(), limit=size, offset=skip, page_token=token)
            seen += ids(page)
            token = page.next_page_token
            if not token:
                assert seen == made[::-1][offset:]
                return seen

    ledgers.at_once(walk())


async def test_a_last_page_that_is_just_full_has_no_next(line: Line) -> None:
    await several(line, 4)
    assert (await line.book.listing.newest(listing.Query(), limit=4)).next_page_token == ""


async def test_filters(line: Line) -> None:
    made = await several(line)
    newest = line.book.listing.newest
    assert ids(await newest(listing.Query(client="ann"), limit=9)) == [made[5], made[3], made[1]]
    assert ids(await newest(listing.Query(status="cancelled"), limit=9)) == [made[5], made[2]]
    assert ids(await newest(listing.Query(status="blocked", client="bob"), limit=9)) == [made[4]]
    assert ids(await newest(listing.Query(task_type="metabase"), limit=9)) == []
    assert sorted(await line.book.listing.blocked("")) == sorted([made[1], made[4]])
    assert await line.book.listing.blocked("CAP") == [made[4]]


async def test_a_filter_reads_on_until_the_page_is_full(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOK", 2)
    made = await several(line, 12)
    page = await line.book.listing.newest(listing.Query(client="ann"), limit=4)
    assert ids(page) == [made[11], made[9], made[7], made[5]]
    rest = await line.book.listing.newest(listing.Query(client="ann"), limit=4, page_token=page.next_page_token)
    assert ids(rest) == [made[3], made[1]]


@pytest.mark.parametrize("token", ["x", "!!!", "AAAAAAAAAA"])
async def test_a_strange_token_is_refused(line: Line, token: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await line.book.listing.newest(listing.Query(), limit=1, page_token=token)
    assert caught.value.violations[0].field == "page_token"


async def test_a_token_belongs_to_its_filters(line: Line) -> None:
    await several(line)
    token = (await line.book.listing.newest(listing.Query(), limit=1)).next_page_token
    with pytest.raises(errors.InvalidArgument):
        await line.book.listing.newest(listing.Query(client="ann"), limit=1, page_token=token)


async def test_open_tasks_come_oldest_first(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "OPEN_PAGE", 1)
    made = await several(line, 9)
    first = await line.book.listing.open()
    second = await line.book.listing.open(first.next_page_token)
    assert ids(first) + ids(second) == [made[0], made[3]]


def finished(line: Line, client: str, number: int, status: Status = Status.COMPLETED) -> None:
    """A task as it lies in the table when it is over."""
    task_id = f"{client}-{number}"
    line.storage.items[task_id] = {
        table.KEY: task_id,
        "kind": "task",
        "client": client,
        "status": str(status),
        "task_type": "s3_csv",
        table.ALL.sort: f"2026-01-01T00:00:00.{number:06}Z#{task_id}",
        **{str(name): value for name, value in items.listed(client, status).items()},
    }


async def test_a_list_reads_what_was_asked_for_and_nothing_of_others() -> None:
    line = indexed()
    for number in range(3_000):
        finished(line, "ann", number)
    finished(line, "bob", 1)
    finished(line, "root", 2, Status.FAILED)

    assert ids(await line.book.listing.newest(listing.Query(client="bob"), limit=1)) == ["bob-1"]
    assert ids(await line.book.listing.newest(listing.Query(client="nobody"), limit=1)) == []
    assert ids(await line.book.listing.newest(listing.Query(status="failed"), limit=1)) == ["root-2"]
    assert [each.task_id async for each in line.book.listing.since("2026-01-01", "bob") if each] == ["bob-1"]
    assert line.storage.read <= 4
    assert line.storage.queries <= 4 * len(listing.ORDER)


async def test_an_older_table_is_read_a_bounded_way_a_call_and_the_token_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "LOOK", 10)
    line = ledgers.line(Counting())
    for number in range(1_000):
        finished(line, "bob" if number % 100 == 7 else "ann", number)
    query = listing.Query(client="bob")
    seen: list[str] = []
    token, calls, skip = "", 0, 2
    while True:
        line.storage.queries = 0
        page = await line.book.listing.newest(query, limit=100, offset=skip, page_token=token)
        assert line.storage.queries <= listing.LOOKS
        seen, token, calls, skip = seen + ids(page), page.next_page_token, calls + 1, 0
        if not token:
            break
    assert seen == [f"bob-{number}" for number in range(707, -1, -100)]
    assert calls > 1
    told = [each async for each in line.book.listing.since("", "bob")]
    assert told[-1] is None  # there is more than it looks at

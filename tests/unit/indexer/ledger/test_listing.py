"""Pages of tasks, newest first, whole and without repetition."""

import hypothesis
import pytest
from hypothesis import strategies

from services.indexer.ledger import listing
from services.indexer.storage import table
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line


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
    return [task[table.KEY] for task in page.tasks]


async def test_all_statuses_are_merged_newest_first(line: Line) -> None:
    made = await several(line)
    page = await line.book.listing.newest(listing.Query(), limit=100)
    assert ids(page) == made[::-1]
    assert page.next_page_token == ""


@hypothesis.settings(
    max_examples=40, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(count=strategies.integers(0, 12), size=strategies.integers(1, 5), offset=strategies.integers(0, 4))
def test_pages_add_up_to_the_whole(count: int, size: int, offset: int) -> None:
    line = ledgers.line()

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

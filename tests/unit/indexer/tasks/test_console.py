"""What a page that is left open hears is what the ledger holds, at little cost however many tasks there are."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from vectorline.v1 import console_pb2, ingest_pb2, ledger_pb2

from services.indexer import settings
from services.indexer.ledger import listing, removals, shards
from services.indexer.storage import memory, table
from services.indexer.tasks import board, console
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from tests.support import ledgers, virtual_time
from tests.support.ledgers import Line

ANN = identity.Caller("ann", frozenset({"read", "ingest"}), allow=identity.Reach(namespaces=("v2", "ann-*")))
ROOT = identity.Caller("root", frozenset({"read", "ingest", "admin"}))
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _ann() -> Iterator[None]:
    token = identity.bind(ANN)
    yield
    identity.unbind(token)


def served(line: Line, look_seconds: float = board.LOOK_SECONDS) -> Any:
    rules = settings.LedgerSettings()
    tasks = task_servicer.TaskServicer(line.book, rules)
    return console.ConsoleServicer(tasks, line.book, rules, board.Board(line.book, look_seconds))


@pytest.fixture
def api(line: Line) -> Any:
    return served(line, look_seconds=0.0)


async def views(api: Any, count: int = 1, **asked: Any) -> list[console_pb2.TasksView]:
    """The first views that are counted."""
    told: list[console_pb2.TasksView] = []
    async for view in api.WatchTasks(console_pb2.WatchTasksRequest(**asked), None):
        if not view.counting:
            told.append(view)
        if len(told) == count:
            return told
    raise AssertionError("It ended.")


async def failed(line: Line, reason: str = "SOURCE_NOT_FOUND", **changes: Any) -> str:
    task_id = await ledgers.create(line.book, **changes)
    await line.book.tasks.begin_scan(task_id, b"")
    await line.book.tasks.fail(task_id, reason, "There is no such file.")
    return task_id


async def partly(line: Line, indexed: int, rejected: int, **changes: Any) -> str:
    task_id = await ledgers.scanned(line.book, rows=indexed + rejected, **changes)
    await line.book.shards.open(task_id, 0)
    outcome = shards.Outcome(indexed, 0, rejected, {"empty_text": rejected} if rejected else {})
    await line.book.closing.settle(task_id, 0, outcome)
    await line.book.closing.seal(task_id, 1, indexed + rejected)
    return task_id


async def test_every_filter_lets_pass_what_it_names_and_the_counts_are_of_the_filter(line: Line, api: Any) -> None:
    old = await partly(line, 5, 2, namespace="ann-old", question_id=7)
    line.time.pass_by(2 * HOUR)
    since = line.book.clock.now().isoformat()
    gone = await failed(line)
    fine = await partly(line, 5, 0)
    going = await ledgers.scanned(line.book)
    await ledgers.create(line.book, client="bob")

    async def found(**asked: Any) -> set[str]:
        (view,) = await views(api, **asked)
        assert view.total == len(view.tasks)
        return {task.task_id for task in view.tasks}

    assert await found() == {old, gone, fine, going}
    assert await found(status="failed") == {gone}
    assert await found(status="open") == {going}
    assert await found(namespace="ann-old") == await found(question_id=7) == {old}
    assert await found(reason="empty_text") == {old}
    assert await found(reason="SOURCE_NOT_FOUND") == await found(text="no SUCH file") == {gone}
    assert await found(text=fine[:20].upper()) == {fine}
    assert await found(since=since) == {gone, fine, going}
    (view,) = await views(api, status="failed", since=since)
    assert {name: count for name, count in view.by_status.items() if count} == {
        "failed": 1,
        "completed": 1,
        "processing_chunks": 1,
    }


async def test_pages_follow_each_other_newest_first(line: Line, api: Any) -> None:
    made = []
    for _ in range(5):
        made.append(await ledgers.create(line.book))
        line.time.pass_by(1)
    pages = [(await views(api, page=page, page_size=2))[0] for page in (1, 2, 3, 4)]

    assert [[task.task_id for task in page.tasks] for page in pages] == [made[:2:-1], made[2:0:-1], made[:1], []]
    assert {page.total for page in pages} == {5}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": "done"}, "status"),
        ({"page": 0}, "page"),
        ({"page_size": 201}, "page_size"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"text": "x" * 2_001}, "text"),
    ],
)
async def test_a_bad_filter_is_named(api: Any, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        await views(api, **asked)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_what_waits_for_a_person_says_why_and_what_mends_it(line: Line, api: Any) -> None:
    stalled = await ledgers.scanned(line.book, question_id=1)
    line.time.pass_by(HOUR)
    lost = await failed(line, question_id=2)
    rejected = await partly(line, 0, 3, question_id=3)
    held = await ledgers.scanned(line.book, question_id=4)
    await line.book.tasks.block(held, removals.HELD, "It would delete half of the namespace: confirm it.")
    refused = await ledgers.scanned(line.book, question_id=5)
    await line.book.tasks.block(refused, "ACCOUNT_REFUSED", "Pay.")
    await partly(line, 1, 1, question_id=6)

    (view,) = await views(api)

    told = {each.task_id: (each.kind, each.reason, each.remedy) for each in view.attention}
    assert told == {
        held: ("blocked", "MIRROR_HELD", "confirm"),
        refused: ("blocked", "ACCOUNT_REFUSED", "retry"),
        stalled: ("stalled", "", ""),
        lost: ("failed", "SOURCE_NOT_FOUND", "again"),
        rejected: ("failed", "NO_ROW_INDEXED", "retry"),
    }
    assert [each.kind for each in view.attention] == ["blocked", "blocked", "stalled", "failed", "failed"]
    assert all(each.message and each.HasField("since") for each in view.attention)
    assert view.attention_total == 5


async def test_a_failure_that_was_tried_again_or_is_a_day_old_waits_for_nobody(line: Line, api: Any) -> None:
    await failed(line, question_id=1)
    line.time.pass_by(25 * HOUR)
    again = await failed(line, question_id=2)
    parent = await failed(line, question_id=3)
    line.time.pass_by(1)
    await partly(line, 1, 0, question_id=2)
    await ledgers.create(line.book, question_id=4, parent_task_id=parent)

    (view,) = await views(api)

    assert list(view.attention) == [], (again, parent)


async def test_a_source_is_the_same_before_it_was_found_and_after_and_another_is_another(line: Line, api: Any) -> None:
    asked = ingest_pb2.ProcessRequest(data_source="s3_csv", s3_key="march.csv").SerializeToString()
    other = ingest_pb2.ProcessRequest(data_source="s3_csv", s3_key="april.csv").SerializeToString()
    await failed(line, request=asked)
    lost = await failed(line, request=other)
    line.time.pass_by(1)
    later = await ledgers.create(line.book, request=asked)
    await line.book.tasks.begin_scan(later, ledger_pb2.PinnedSource(uri="s3://b/march.csv").SerializeToString())

    (view,) = await views(api)

    assert [each.task_id for each in view.attention] == [lost]


class Counting(memory.MemoryTable):
    """Counts the items that are read."""

    read = 0

    async def get_many(self, keys: Any, only: Any = ()) -> dict[str, table.Item]:
        self.read += len(keys)
        return await super().get_many(keys, only)


def test_finished_tasks_are_read_once_and_a_change_is_told_within_seconds() -> None:
    async def watch() -> None:
        identity.bind(ANN)
        line = ledgers.line(Counting())
        for _ in range(300):
            await failed(line)
        line.time.pass_by(HOUR)
        task_id = await ledgers.scanned(line.book)
        api = served(line)
        heard: list[console_pb2.TasksView] = []

        async def listen() -> None:
            async for view in api.WatchTasks(console_pb2.WatchTasksRequest(page_size=2), None):
                heard.append(view)  # noqa: PERF401 (while it goes on)

        watchers = [asyncio.create_task(listen()) for _ in range(3)]
        await asyncio.sleep(5.0)
        assert [view.counting for view in heard] == [True] * 3 + [False] * 3
        assert {view.tasks[0].task_id for view in heard} == {task_id}
        line.storage.read = 0
        await asyncio.sleep(60.0)
        looks = 60 / board.LOOK_SECONDS
        # The open task at each look, and for each watcher the two of its page.
        assert line.storage.read <= looks * (1 + 3 * 3) * 1.1
        assert 3 * (2 + 3) <= len(heard) <= 3 * (2 + 7)  # a beat at least every 15 s
        await line.book.tasks.cancel(task_id)
        await asyncio.sleep(2 * board.LOOK_SECONDS)
        assert {view.by_status["cancelled"] for view in heard[-3:]} == {1}
        for watcher in watchers:
            watcher.cancel()

    virtual_time.run(watch())


class Slow(memory.MemoryTable):
    """Takes its time for many items, and is away when told."""

    away = False

    async def get_many(self, keys: Any, only: Any = ()) -> dict[str, table.Item]:
        if len(keys) > 50:
            await asyncio.sleep(7.0)
            if self.away:
                raise errors.Unavailable("away")
        return await super().get_many(keys, only)


@pytest.mark.parametrize("away", [False, True])
def test_while_all_tasks_are_read_for_the_first_time_the_newest_are_told_again_and_again(away: bool) -> None:
    async def watch() -> None:
        identity.bind(ANN)
        line = ledgers.line(Slow())
        line.storage.away = away
        for _ in range(60):
            await failed(line)
        api = served(line)
        heard: list[bool] = []

        async def listen() -> None:
            async for view in api.WatchTasks(console_pb2.WatchTasksRequest(page_size=2), None):
                assert len(view.tasks) == 2
                heard.append(view.counting)

        listening = asyncio.create_task(listen())
        await asyncio.sleep(8.0)
        assert heard == [True] * 4 + [False] * (not away)
        listening.cancel()
        done, _ = await asyncio.wait((listening,))
        assert (done.pop().cancelled()) is not away  # who is away is said, not waited for

    virtual_time.run(watch())


class Heavy(memory.MemoryTable):
    """Counts requests; the notes of a hundred tasks take a second."""

    requests = 0

    async def get_many(self, keys: Any, only: Any = ()) -> dict[str, table.Item]:
        self.requests += 1
        await asyncio.sleep(len(keys) / 100)
        return await super().get_many(keys, only)

    async def query(self, *args: Any, **asked: Any) -> table.Page:
        self.requests += 1
        return await super().query(*args, **asked)


async def many(line: Line, count: int) -> None:
    """So many finished tasks, one in four of them failed, and in namespaces that take turns."""
    one = line.storage.items[await partly(line, 5, 0)], line.storage.items[await failed(line)]
    line.storage.items.clear()
    for number in range(count):
        task_id, created = f"00000000-0000-4000-8000-{number:012}", f"2027-01-01T00:00:00.{number:06}Z"
        named = {
            table.KEY: task_id,
            "created_at": created,
            "created": f"{created}#{task_id}",
            "namespace": f"n{number % 2}",
        }
        line.storage.items[task_id] = {**one[number % 4 == 0], **named}


def test_of_ten_thousand_tasks_a_first_look_counts_by_the_index_in_some_requests_and_says_how_far_it_is() -> None:
    async def watch() -> None:
        identity.bind(ANN)
        line = ledgers.line(Heavy())
        await many(line, 10_000)
        api = served(line)
        heard: dict[str, list[console_pb2.TasksView]] = {"": [], "n1": []}

        async def listen(namespace: str) -> None:
            async for view in api.WatchTasks(console_pb2.WatchTasksRequest(namespace=namespace, page_size=2), None):
                heard[namespace].append(view)

        listening = [asyncio.create_task(listen(namespace)) for namespace in heard]
        await asyncio.sleep(1.0)
        # What a filter by status asks for is there, and exact, after some requests, the watchers' pages among them.
        assert line.storage.requests <= 30
        assert [view.listed for view in heard[""]] == [10_000]
        counted = heard[""][0]
        assert (counted.counting, counted.total, len(counted.tasks)) == (True, 10_000, 2)
        assert {name: count for name, count in counted.by_status.items() if count} == {
            "completed": 7_500,
            "failed": 2_500,
        }
        await asyncio.sleep(12.0)
        # What the index does not know is told as far as it was looked at.
        so_far = [(view.looked, view.total) for view in heard["n1"] if view.counting]
        assert so_far == sorted(so_far)
        looked, total = so_far[-1]
        assert 0 < looked < 10_000
        assert total == looked // 2
        await asyncio.sleep(20.0)
        for namespace, total in {"": 10_000, "n1": 5_000}.items():
            last = heard[namespace][-1]
            assert (last.counting, last.total, last.looked, last.listed) == (False, total, 0, 0)
        assert dict(heard[""][-1].by_status) == dict(counted.by_status)
        for each in listening:
            each.cancel()

    virtual_time.run(watch())


async def test_the_board_keeps_the_newest_and_says_that_there_are_more(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "MOST_TASKS", 5)
    monkeypatch.setattr(listing, "EVERY_LOOK", 2)
    made = []
    for _ in range(5):
        made.append(await ledgers.create(line.book))
        line.time.pass_by(1)
    seen = board.Board(line.book, look_seconds=0.0)
    assert not (await seen.look()).truncated
    made.append(await ledgers.create(line.book))

    later = await seen.look()

    assert later.truncated
    assert [note.task_id for note in later.notes] == made[:0:-1]
    first = await board.Board(line.book).look()
    assert (first.truncated, [note.task_id for note in first.notes]) == (True, made[:0:-1])


async def test_the_strip_shows_each_chunk_and_of_many_some_to_a_square(line: Line, api: Any) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    await line.book.end_scan(task_id, ledgers.scan(rows=50, chunks=5))
    await line.book.shards.open(task_id, 0)
    await line.book.closing.settle(task_id, 1, ledgers.good(8, skipped=2))
    await line.book.closing.settle(task_id, 4, ledgers.bad(3, indexed=7))

    one = await api.GetChunks(console_pb2.GetChunksRequest(task_id=task_id), None)
    two = await api.GetChunks(console_pb2.GetChunksRequest(task_id=task_id, squares=2), None)

    assert (one.chunks, one.chunks_per_square, one.published) == (5, 1, 5)
    assert list(one.settled) == [0, 1, 0, 0, 1]
    assert list(one.indexed) == [0, 8, 0, 0, 7]
    assert (list(one.skipped), list(one.failed)) == ([0, 2, 0, 0, 0], [0, 0, 0, 0, 3])
    assert (two.chunks_per_square, list(two.settled), list(two.indexed)) == (3, [1, 1], [8, 7])


async def test_of_a_very_large_task_a_square_is_a_shard_or_more(line: Line, api: Any) -> None:
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    await line.book.end_scan(task_id, ledgers.scan(rows=5_000, chunks=5_000))
    await line.book.shards.open(task_id, 2)
    await line.book.closing.settle(task_id, 513, ledgers.good(9))

    view = await api.GetChunks(console_pb2.GetChunksRequest(task_id=task_id), None)

    assert (view.chunks_per_square, len(view.settled), view.published) == (256, 20, 3)
    assert (list(view.settled[:4]), list(view.indexed[:4])) == ([0, 0, 1, 0], [0, 0, 9, 0])


async def test_another_s_task_has_no_strip(line: Line, api: Any) -> None:
    theirs = await ledgers.scanned(line.book, client="bob")
    with pytest.raises(errors.NotFound):
        await api.GetChunks(console_pb2.GetChunksRequest(task_id=theirs), None)


async def test_a_key_hears_what_it_may(api: Any) -> None:
    mine = await api.GetKey(console_pb2.GetKeyRequest(), None)
    assert (mine.key_id, list(mine.scopes), list(mine.namespaces)) == ("ann", ["ingest", "read"], ["v2", "ann-*"])
    assert (mine.every_namespace, mine.every_question, mine.every_source) == (False, True, True)
    token = identity.bind(ROOT)
    assert (await api.GetKey(console_pb2.GetKeyRequest(), None)).every_namespace
    identity.unbind(token)


async def test_the_columns_are_those_of_the_last_load_and_of_names_that_the_key_may_use(line: Line, api: Any) -> None:
    task = await line.book.tasks.get(await ledgers.create(line.book))
    await line.book.types.keep(task, {"price": "number", "colour": "string"})

    async def columns(**asked: Any) -> list[tuple[str, str]]:
        told = await api.GetColumns(console_pb2.GetColumnsRequest(**asked), None)
        return [(each.name, each.type) for each in told.columns]

    assert await columns(namespace="v2", question_id=232) == [("colour", "string"), ("price", "number")]
    assert await columns(namespace="v2", question_id=1) == []
    with pytest.raises(errors.PermissionDenied):
        await columns(namespace="other", question_id=232)
    with pytest.raises(errors.InvalidArgument):
        await columns(question_id=232)

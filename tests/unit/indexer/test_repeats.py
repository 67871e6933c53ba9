"""What is made again, since its answer was lost, has the effect of one: by the channel, or by who calls AWS."""

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import pytest
from vectorline.v1 import indexer_pb2

from services.billing import spend
from services.indexer import late, servicer, settings
from services.indexer.ledger import namespaces
from services.indexer.storage import clock, memory, table
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from tests.support import ledgers
from tests.support.ledgers import Line

ROWS = identity.KeyAllowance(rows_per_day=100)
TYPES = {"price": "number"}


class Deaf(memory.MemoryTable):
    """Of the first write that matches the answer is lost; `aws.Caller` makes it again, or gives up."""

    def __init__(self) -> None:
        super().__init__()
        self.loses: Callable[[table.Write], bool] = lambda _: False
        self.gives_up = False
        self.meanwhile: Callable[[], None] = lambda: None

    def _lost(self, write: table.Write) -> bool:
        lost = self.loses(write)
        if lost:
            self.loses = lambda _: False
            self.meanwhile()
        return lost

    async def update(self, write: table.Update) -> table.Item:
        answer = await super().update(write)
        if not self._lost(write):
            return answer
        if self.gives_up:
            raise errors.Unavailable("applied, and nobody hears of it")
        return await super().update(write)

    async def put(self, write: table.Put) -> None:
        await super().put(write)
        if self._lost(write):
            raise errors.Unavailable("applied, and nobody hears of it")

    async def transact(self, writes: Any) -> None:
        await super().transact(writes)
        if self._lost(writes[0]):  # with a token; it is made again only by who heard that it broke
            raise errors.Unavailable("applied, and nobody hears of it")


@pytest.fixture
def deaf() -> Line:
    return ledgers.line(Deaf())


async def test_a_stored_task_is_not_refused_by_a_limit_that_others_reached_since(line: Line) -> None:
    new = ledgers.new_task(limits=ROWS)
    await line.book.create(new)
    other, _ = await line.book.create(ledgers.new_task(limits=ROWS))
    await line.book.tasks.begin_scan(other[table.KEY], b"")
    await line.book.end_scan(other[table.KEY], ledgers.scan(100))
    with pytest.raises(errors.ResourceExhausted):
        await line.book.create(ledgers.new_task(limits=ROWS))
    assert await line.book.create(new) == (await line.book.tasks.get(new.task_id), True)


@pytest.mark.parametrize("gives_up", [False, True])
async def test_a_stop_that_was_written_late_is_stamped_late(deaf: Line, gives_up: bool) -> None:
    """A turn passes on some time after the stop, so that no upsert that was allowed before it is still on its way."""
    task_id = await ledgers.scanned(deaf.book)
    deaf.storage.loses = lambda write: ("status", "cancelled") in getattr(write, "set", {}).items()
    deaf.storage.gives_up, deaf.storage.meanwhile = gives_up, lambda: deaf.time.pass_by(7.5)
    try:
        await deaf.book.tasks.cancel(task_id)
    except errors.Unavailable:
        assert gives_up
    task = await deaf.book.tasks.get(task_id)
    assert task["status"] == "cancelled"
    assert clock.parse(task["stopped_at"]).timestamp() == ledgers.START + 7.5


async def test_a_scan_that_is_told_again_keeps_its_types_and_bills_its_look(
    deaf: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = spend.Spend(read_thousandths=5)

    async def holds(_namespace: str, _question_id: int) -> tuple[bool, spend.Spend]:
        return False, look

    monkeypatch.setattr(deaf.book, "_holds", holds)
    task_id = await ledgers.create(deaf.book)
    await deaf.book.tasks.begin_scan(task_id, b"")
    scan = dataclasses.replace(ledgers.scan(), types=TYPES)
    deaf.storage.loses = lambda write: getattr(write, "set", {}).get("plan_uri") == scan.plan_uri
    deaf.storage.gives_up = True
    with pytest.raises(errors.Unavailable):
        await deaf.book.end_scan(task_id, scan)
    assert (await deaf.book.end_scan(task_id, scan))["replaces_nothing"]

    assert spend.of_stored(await deaf.book.tasks.get(task_id)) == look
    after = await ledgers.create(deaf.book)
    changed = await deaf.book.types.changes(await deaf.book.tasks.get(after), {"price": "string"})
    assert [each.task_id for each in changed] == [task_id]


async def test_a_release_that_is_written_twice_succeeded(deaf: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_seconds: float) -> None:
        """Nothing is on its way."""

    async def count() -> int:
        return 0

    monkeypatch.setattr(namespaces, "asyncio", types.SimpleNamespace(sleep=sleep))
    await deaf.book.namespaces.claim("v2", "small", 2)
    deaf.storage.loses = lambda write: "model" in getattr(write, "remove", ())
    assert (await deaf.book.namespaces.release("v2", count)).model == "small"
    assert await deaf.book.namespaces.holds("v2") is None
    await deaf.book.namespaces.claim("v2", "large", 3)
    assert (await deaf.book.namespaces.holds("v2") or namespaces.Kind("", 0)).model == "large"


async def test_a_late_write_voids_one_version_however_often_it_is_told(
    deaf: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep(_seconds: float) -> None:
        """Time passes."""

    monkeypatch.setattr(late, "asyncio", types.SimpleNamespace(sleep=sleep))
    task_id = await ledgers.scanned(deaf.book)
    first = await deaf.book.turns.acquire(task_id, marks=True)
    before = await deaf.book.manifests.of_task(task_id)
    await deaf.book.tasks.cancel(task_id)
    deaf.time.pass_by(3_600)
    assert (await deaf.book.turns.acquire(await ledgers.scanned(deaf.book), marks=True)).held
    deaf.storage.loses = lambda write: "version" in getattr(write, "set", {})
    await late._tell(deaf.book, task_id, first.fence, "v2")
    after = await deaf.book.manifests.of_task(task_id)
    assert before is not None
    assert after is not None
    assert after.item["version"] == before.item["version"] + 1


@pytest.mark.parametrize("again", [False, True])
async def test_a_search_that_the_channel_makes_again_is_in_doubt(line: Line, again: bool) -> None:
    async def query(*_: Any, **__: Any) -> Any:
        raise errors.Unavailable("Pinecone is away")

    said = (("grpc-previous-rpc-attempts", "1"),) if again else ()
    context: Any = types.SimpleNamespace(invocation_metadata=lambda: said)
    reads: Any = types.SimpleNamespace(index=types.SimpleNamespace(query=query))
    unused: Any = None
    rules = settings.LedgerSettings()
    api = servicer.IndexerServicer(
        task_servicer.TaskServicer(line.book, rules), line.book, reads, unused, unused, rules=rules
    )
    told: list[spend.Spend] = []
    line.book.spending.days.told = lambda _day, _account, spent: told.append(spent)
    asked = indexer_pb2.QueryRequest(namespace="v2", client="ann", model="small", top_k=1, tokens=7)
    with pytest.raises(errors.Unavailable):
        await api.Query(asked, context)
    assert told == [spend.Spend(tokens_doubtful=7) if again else spend.Spend(tokens=7, texts_bought=1)]

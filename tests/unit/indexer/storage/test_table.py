"""The table in memory and the table in DynamoDB (moto) give every write one meaning."""

import asyncio
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import moto
import pytest
from hypothesis import strategies

from services.indexer import provision
from services.indexer.storage import dynamodb, limits, memory, table
from services.indexer.storage.table import (
    Below,
    Cancelled,
    ConditionFailed,
    Equals,
    Exists,
    Lacks,
    Missing,
    OneOf,
    Put,
    Same,
    Update,
)
from services.runtime import aws


@pytest.fixture(scope="module")
def new_table() -> Iterator[Callable[[], dynamodb.DynamoTable]]:
    """Makes tables in moto."""
    with moto.mock_aws():
        where = aws.CallerSettings(aws_endpoint_url=None)
        client = aws.dynamodb(where)
        caller = aws.Caller("DynamoDB", where)

        def make() -> dynamodb.DynamoTable:
            name = f"tasks-{uuid.uuid4().hex}"
            provision.ensure_table(client, name, lambda line: line)
            return dynamodb.DynamoTable(client, name, caller)

        yield make
        caller.close()


@pytest.fixture(params=["memory", "dynamodb"])
def storage(request: pytest.FixtureRequest, new_table: Callable[[], dynamodb.DynamoTable]) -> table.Table:
    return memory.MemoryTable() if request.param == "memory" else new_table()


async def test_every_kind_of_value_comes_back(storage: table.Table) -> None:
    item = {
        "task_id": "a",
        "s": "x",
        "n": -3,
        "b": True,
        "raw": b"\x00\xff",
        "l": [1, "a", []],
        "m": {"a.b": {}},
        "z": None,
    }
    await storage.put(Put(item))
    assert await storage.get("a") == item
    assert await storage.get("b") is None


async def test_a_failed_condition_tells_what_was_there(storage: table.Table) -> None:
    with pytest.raises(ConditionFailed) as caught:
        await storage.update(Update("a", set={"x": 1}, when=(Exists("task_id"),)))
    assert caught.value.item is None
    await storage.put(Put({"task_id": "a"}))
    for write in (Put({"task_id": "a", "x": 1}, when=(Missing("task_id"),)),):
        with pytest.raises(ConditionFailed) as caught:
            await storage.put(write)
    assert caught.value.item == {"task_id": "a"}


async def test_an_update_sets_keeps_adds_appends_and_removes(storage: table.Table) -> None:
    await storage.put(Put({"task_id": "a", "status": "x", "m": {"k": 1}, "old": 1, "kept": 1}))
    after = await storage.update(
        Update(
            "a",
            set={"status": "y", ("m", "new.name"): {"i": 1}},
            keep={"kept": 9, "fresh": 9},
            add={"total": 2, ("m", "k"): 2, ("m", "j"): 5},
            append={"waiters": "w"},
            remove=("old", "never"),
        )
    )
    assert after == {
        "task_id": "a",
        "status": "y",
        "m": {"k": 3, "j": 5, "new.name": {"i": 1}},
        "kept": 1,
        "fresh": 9,
        "total": 2,
        "waiters": ["w"],
    }


ITEM = {"task_id": "a", "n": 3, "m": 3, "o": 4, "s": "x", "l": ["w"], "deep": {"k": 1}}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Exists("n"), True),
        (Exists("q"), False),
        (Exists(("deep", "k")), True),
        (Missing(("deep", "j")), True),
        (Missing(("nowhere", "j")), True),
        (Equals("s", "x"), True),
        (Equals("q", "x"), False),
        (Equals("l", ["w"]), True),
        (OneOf("s", ("a", "x")), True),
        (OneOf("q", ("a", "x")), False),
        (Below("n", 4), True),
        (Below("n", 3), False),
        (Below("q", 3), False),
        (Lacks("l", "v"), True),
        (Lacks("l", "w"), False),
        (Lacks("q", "w"), True),
        (Same("n", "m"), True),
        (Same("n", "o"), False),
        (Same("q", "r"), False),
    ],
)
async def test_conditions(storage: table.Table, condition: table.Condition, holds: bool) -> None:
    await storage.put(Put(ITEM))
    if holds:
        await storage.update(Update("a", set={"x": 1}, when=(condition,)))
    else:
        with pytest.raises(ConditionFailed):
            await storage.update(Update("a", set={"x": 1}, when=(condition,)))


async def test_a_transaction_writes_all_or_nothing(storage: table.Table) -> None:
    await storage.transact((Put({"task_id": "a"}, when=(Missing("task_id"),)), Update("b", set={"x": 1})))
    with pytest.raises(Cancelled):
        await storage.transact((Update("b", set={"x": 2}), Put({"task_id": "a"}, when=(Missing("task_id"),))))
    assert await storage.get("b") == {"task_id": "b", "x": 1}


async def test_many_are_read_in_part(storage: table.Table) -> None:
    await storage.put(Put({"task_id": "a", "c": {"1": {"i": 1}, "2": {"i": 2}}, "n": 1, "x": 1}))
    await storage.put(Put({"task_id": "b", "x": 1}))
    found = await storage.get_many(["a", "b", "none", "a"], (("c", "2"), "n"))
    assert found == {"a": {"task_id": "a", "c": {"2": {"i": 2}}, "n": 1}, "b": {"task_id": "b"}}
    assert len(await storage.get_many([f"k{number}" for number in range(230)])) == 0


async def test_the_index_is_paged_in_both_directions(storage: table.Table) -> None:
    for number in range(5):
        await storage.put(
            Put(
                {"task_id": str(number), "listing": "open", "created": f"t{number}", "client": "ab"[number % 2], "x": 1}
            )
        )
    await storage.put(Put({"task_id": "other", "listing": "closed", "created": "t9"}))
    page = await storage.query(table.ALL, "open", newest_first=True, equal={}, limit=3)
    assert [item["task_id"] for item in page.items] == ["4", "3", "2"]
    assert page.items[0] == {"task_id": "4", "created": "t4", "client": "a"}  # what an index has for certain
    page = await storage.query(table.ALL, "open", after=page.next, newest_first=True, equal={}, limit=3)
    assert ([item["task_id"] for item in page.items], page.next) == (["1", "0"], "")
    page = await storage.query(table.ALL, "open", after="t1", newest_first=False, equal={"client": "b"}, limit=100)
    assert [item["task_id"] for item in page.items] == ["3"]


async def test_an_update_may_answer_what_it_wrote_and_no_more(storage: table.Table) -> None:
    await storage.put(Put({"task_id": "a", "c": {"1": {"i": 1}}, "n": 1, "exp": 9, "x": 1}))
    write = Update("a", set={("c", "2"): {"i": 2}}, add={"n": 1}, answer=table.Answer.WRITTEN, told=("exp",))
    after = await storage.update(write)
    # What did not change may be missing: DynamoDB's own documentation leaves that open.
    assert {**after, "exp": 9} == {"c": {"2": {"i": 2}}, "n": 2, "exp": 9}
    assert (await storage.get("a")) == {
        "task_id": "a",
        "c": {"1": {"i": 1}, "2": {"i": 2}},
        "n": 2,
        "exp": 9,
        "x": 1,
    }


# moto counts 405,000 bytes where DynamoDB counts 409,600.
LARGE = "x" * (limits.ITEM_BYTES - 8_000)


@pytest.mark.parametrize(
    "write",
    [
        Put({"task_id": "b", "text": LARGE + "x" * 10_000}),
        Put({"task_id": "b", "list": ["y" * 1_000] * 420}),
        Put({"task_id": "b", "map": {"z" * 500 + str(number): b"0" * 500 for number in range(420)}}),
        Update("a", set={"more": "x" * 10_000}),
        Put({"task_id": ""}),
        Put({"task_id": "b", "listing": "", "created": "t"}),
        Put({"task_id": "k" * 2_049}),
    ],
    ids=["text", "list", "map", "grown", "empty key", "empty index key", "long key"],
)
async def test_what_dynamodb_never_takes_is_invalid(storage: table.Table, write: Put | Update) -> None:
    await storage.put(Put({"task_id": "a", "text": LARGE}))
    with pytest.raises(table.Invalid):
        await (storage.put(write) if isinstance(write, Put) else storage.update(write))
    assert await storage.get("a") == {"task_id": "a", "text": LARGE}


@pytest.mark.parametrize("number", [10**38 + 1, -(10**38) - 1])
async def test_a_number_has_38_digits(number: int) -> None:  # moto takes more
    storage = memory.MemoryTable()
    await storage.put(Put({"task_id": "a", "n": 10**60}))
    with pytest.raises(table.Invalid):
        await storage.put(Put({"task_id": "b", "m": [{"n": number}]}))


async def test_a_transaction_has_its_limits(storage: table.Table) -> None:
    for writes in (
        [Put({"task_id": str(number)}) for number in range(101)],
        [Put({"task_id": "a"}), Update("a", set={"x": 1})],
        [Put({"task_id": "a"}), Put({"task_id": "b", "text": LARGE + "x" * 10_000})],
    ):
        with pytest.raises(table.Invalid):
            await storage.transact(writes)
    assert await storage.get("a") is None


async def test_a_page_of_an_index_ends_after_a_megabyte(storage: table.Table) -> None:
    for number in range(5):
        await storage.put(Put({"task_id": str(number), "listing": "open", "created": f"t{number}", "text": LARGE}))
    seen: list[str] = []
    after, pages = "", 0
    while True:
        page = await storage.query(table.ALL, "open", after=after, newest_first=False, equal={}, limit=100)
        seen, after, pages = seen + [item["task_id"] for item in page.items], page.next, pages + 1
        if not after:
            break
    assert seen == ["0", "1", "2", "3", "4"]
    if isinstance(storage, memory.MemoryTable):  # where an index holds whole items; ours of DynamoDB holds little
        assert pages == 2


NAMES = strategies.sampled_from(["a", "b"])
NUMBERS = strategies.integers(-2, 2)
CONDITIONS = strategies.one_of(
    strategies.builds(Exists, NAMES),
    strategies.builds(Missing, NAMES),
    strategies.builds(Equals, NAMES, NUMBERS),
    strategies.builds(Below, NAMES, NUMBERS),
    strategies.builds(OneOf, NAMES, strategies.lists(NUMBERS, min_size=1, max_size=2)),
    strategies.builds(Same, strategies.just("a"), strategies.just("b")),
)
WRITES = strategies.builds(
    Update,
    strategies.sampled_from(["x", "y"]),
    add=strategies.dictionaries(NAMES, NUMBERS, min_size=1),
    when=strategies.lists(CONDITIONS, max_size=2),
)


def test_memory_and_dynamodb_agree(new_table: Callable[[], dynamodb.DynamoTable]) -> None:
    real = new_table()
    with asyncio.Runner() as runner:

        @hypothesis.settings(max_examples=60, deadline=None)
        @hypothesis.given(groups=strategies.lists(strategies.lists(WRITES, min_size=1, max_size=2), max_size=5))
        def agree(groups: list[list[Update]]) -> None:
            suffix = uuid.uuid4().hex
            theirs = runner.run(_answers(real, groups, suffix))
            assert theirs == runner.run(_answers(memory.MemoryTable(), groups, suffix))

        agree()


async def _answers(storage: table.Table, groups: list[list[Update]], suffix: str) -> list[Any]:
    answers: list[Any] = []
    for group in groups:
        writes = [dataclasses.replace(write, key=write.key + suffix) for write in group]
        try:
            if len(writes) == 1:
                answers.append(await storage.update(writes[0]))
            elif writes[0].key != writes[1].key:
                answers.append(await storage.transact(writes))
        except ConditionFailed as failed:
            answers.append(("refused", failed.item))
        except Cancelled:
            answers.append("cancelled")
    return [*answers, await storage.get("x" + suffix), await storage.get("y" + suffix)]


def test_what_the_ledger_does_not_use_is_refused() -> None:
    with pytest.raises(TypeError):
        dynamodb.marshal(1.5)

"""A column whose type changed since the last load of the question is said, once, and never holds a task up."""

import dataclasses

from vectorline.v1 import warning_pb2

from services.indexer.storage import table
from tests.support import ledgers
from tests.support.ledgers import Line

FIRST = {"price": "number", "name": "string"}


async def loaded(line: Line, types: dict[str, str], **changes: object) -> table.Item:
    task_id = await ledgers.create(line.book, **changes)
    await line.book.tasks.begin_scan(task_id, b"")
    return await line.book.end_scan(task_id, dataclasses.replace(ledgers.scan(), types=types))


def warnings(task: table.Item) -> list[warning_pb2.Warning]:
    return [warning_pb2.Warning.FromString(each) for each in task["warnings"]]


async def test_a_first_load_warns_of_nothing(line: Line) -> None:
    assert warnings(await loaded(line, FIRST)) == []


async def test_a_changed_type_names_the_column_and_the_task(line: Line) -> None:
    before = await loaded(line, FIRST)
    after = await loaded(line, {**FIRST, "price": "string"})

    (warning,) = warnings(after)
    assert (warning.code, warning.column) == ("types_changed", "price")
    assert "is string, and was number" in warning.message
    assert before[table.KEY] in warning.message


async def test_the_last_load_is_what_counts(line: Line) -> None:
    await loaded(line, FIRST)
    await loaded(line, {**FIRST, "price": "string"})

    assert warnings(await loaded(line, {**FIRST, "price": "string"})) == []


async def test_columns_that_come_and_go_are_no_change(line: Line) -> None:
    await loaded(line, FIRST)

    assert warnings(await loaded(line, {"price": "number", "colour": "string"})) == []


async def test_another_question_or_namespace_is_another_matter(line: Line) -> None:
    await loaded(line, FIRST)

    assert warnings(await loaded(line, {"price": "string"}, question_id=5)) == []
    assert warnings(await loaded(line, {"price": "string"}, namespace="other")) == []


async def test_a_scan_that_is_told_twice_neither_forgets_nor_repeats(line: Line) -> None:
    await loaded(line, FIRST)
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    scan = dataclasses.replace(ledgers.scan(), types={"price": "string"})
    first = await line.book.end_scan(task_id, scan)

    assert warnings(await line.book.end_scan(task_id, scan)) == warnings(first) != []


async def test_what_no_item_can_hold_is_left_out(line: Line) -> None:
    """DynamoDB's limit of an item is 400 KB; the plan has all names."""
    wide = {f"{'x' * 100}-{number}": "string" for number in range(5_000)}
    task_id = await ledgers.create(line.book)
    await line.book.tasks.begin_scan(task_id, b"")
    scan = dataclasses.replace(ledgers.scan(), types=wide, columns=tuple(wide), warnings=(b"",) * 5_000)
    task = await line.book.end_scan(task_id, scan)

    assert 500 < len(task["columns"]) < 700
    assert len(task["warnings"]) == 100

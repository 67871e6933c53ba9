"""A retry is planned where tasks are driven: in memory that does not grow with its rows."""

import dataclasses
import json
import random
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vectorline.v1 import chunk_pb2, ledger_pb2

from services.ingest import failures
from services.ingest.driving import driver, retrying
from services.ingest.planning import plan
from services.ingest.splitting import task_source
from tests.unit.ingest import driven, support

MIB = 1 << 20
RETRY = "task-2"


def rejects(chunk: int, numbers: list[int], reason: str = "index_refused") -> ledger_pb2.ReadRejectsResponse:
    found = [chunk_pb2.Reject(row_number=number, reason=reason, message="m") for number in numbers]
    return ledger_pb2.ReadRejectsResponse(chunk=chunk, rejects=found)


def poison(chunk: int, first_row: int, rows: int) -> ledger_pb2.ReadRejectsResponse:
    return ledger_pb2.ReadRejectsResponse(chunk=chunk, first_row=first_row, rows=rows, reason="poison")


async def line_with(
    stored: list[ledger_pb2.ReadRejectsResponse], *, every: bool = False
) -> tuple[driven.Scene, ledger_pb2.TaskRecord]:
    data = b"id,formatted_text\n" + b"".join(b"%d,text %d\n" % (n % 90, n) for n in range(1, 351))
    line = driven.scene(data)
    parent = line.task()
    assert await line.driver.drive(driven.TASK) is driver.End.DONE
    parent.status = "partially_completed"
    line.ledger.stored[driven.TASK] = stored
    task = line.task(
        RETRY,
        parent_task_id=driven.TASK,
        request={"request_id": retrying.request_id(driven.TASK, every=every)},
        source=parent.source,
    )
    return line, task


async def test_a_retry_takes_the_rows_that_may_go_through_now() -> None:
    line, task = await line_with(
        [
            rejects(0, [7, 3]),
            rejects(0, [5]),
            rejects(1, [101], "empty_text"),
            poison(2, 201, 3),
            rejects(3, [350, 301]),
        ]
    )
    assert await line.driver.drive(RETRY) is driver.End.DONE
    made = await line.plans.plan(task.plan_uri)
    assert made.selected is not None
    assert [(each.chunk, each.ranges) for each in made.selected.chunks] == [
        (0, "3,5,7"),
        (2, "201-203"),
        (3, "301,350"),
    ]
    assert (task.chunks_total, task.rows_total) == (3, 8)
    assert await line.published(RETRY) == [0, 1, 2]


async def test_all_takes_every_rejected_row() -> None:
    line, task = await line_with([rejects(1, [101], "empty_text")], every=True)
    assert await line.driver.drive(RETRY) is driver.End.DONE
    assert task.rows_total == 1


@pytest.mark.parametrize("every", [True, False])
async def test_nothing_to_retry_ends_the_retry_by_name(every: bool) -> None:
    line, task = await line_with([] if every else [rejects(1, [101], "empty_text")], every=every)
    assert await line.driver.drive(RETRY) is driver.End.OVER
    assert (task.status, task.error_reason) == ("failed", "NOTHING_TO_RETRY")
    assert ("all=true" in task.error) != every


async def test_a_retry_of_a_retry_takes_rows_of_that() -> None:
    line, task = await line_with([rejects(0, [3, 5]), rejects(3, [301, 302, 303])])
    assert await line.driver.drive(RETRY) is driver.End.DONE
    task.status = "partially_completed"
    line.ledger.stored[RETRY] = [rejects(0, [5]), poison(1, 301, 3)]
    second = line.task(
        "task-3",
        parent_task_id=RETRY,
        request={"request_id": retrying.request_id(RETRY, every=False)},
        source=task.source,
    )
    assert await line.driver.drive("task-3") is driver.End.DONE
    made = await line.plans.plan(second.plan_uri)
    assert made.selected is not None
    assert [(each.chunk, each.ranges) for each in made.selected.chunks] == [(0, "5"), (3, "301-303")]


@pytest.mark.parametrize("gone", ["task", "plan"])
async def test_a_retry_whose_parent_is_gone_ends_by_name(gone: str) -> None:
    line, task = await line_with([rejects(0, [3])])
    if gone == "task":
        del line.ledger.tasks[driven.TASK]
    else:
        line.bucket.objects.clear()
    assert await line.driver.drive(RETRY) is driver.End.OVER
    assert task.error_reason == {"task": "PARENT_EXPIRED", "plan": "PLAN_EXPIRED"}[gone]


async def test_scattered_rejects_are_planned_in_eight_bytes_each() -> None:
    chunks, rng = 200, random.Random(2)
    small = support.load("id,formatted_text\n1,a\n").plan
    made = dataclasses.replace(small, rows_total=chunks * 1_000, chunks_total=chunks)
    source: Any = None
    parent = task_source.Opened(source, source, made, source, source)

    async def stored() -> AsyncIterator[ledger_pb2.ReadRejectsResponse]:
        for chunk in range(chunks):
            first = chunk * 1_000 + 1
            yield rejects(chunk, rng.sample(range(first, first + 1_000), 500))

    tracemalloc.start()
    try:
        restricted = await retrying.restricted(stored(), parent, every=False)
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
        assert restricted.task_rows == 100_000
        data = restricted.to_json()
        tracemalloc.reset_peak()
        again = plan.Plan.from_json(data)
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB
    finally:
        tracemalloc.stop()
    assert len(json.loads(data)["selected"]["chunks"]) == chunks
    assert again.selected == restricted.selected


def test_what_the_counts_tell_is_known_before_a_task_is_stored() -> None:
    assert retrying.rows_in({}, every=True) == 0
    assert retrying.rows_in({"empty_text": 3}, every=False) == 0
    assert retrying.rows_in({"empty_text": 3}, every=True) == 3
    assert retrying.rows_in({"empty_text": 3, "poison": 1}, every=False) == 1
    assert isinstance(retrying.nothing(every=True), failures.Failure)

"""RetryTasks: what a filter matches is counted first, then retried, each task by the rules of RetryTask."""

import pathlib
from typing import Any

import grpc
import pytest
from vectorline.v1 import ingest_pb2

from services.indexer.ledger import records, shards
from services.ingest import retries
from services.runtime import identity
from tests.integration.ingest.conftest import ADMIN, ANN, BOB, Api
from tests.integration.ingest.test_api import order, refused
from tests.integration.ingest.test_rejects_api import clean, finished, poisoned


async def retry(api: Api, **fields: Any) -> ingest_pb2.RetryTasksResponse:
    answer: ingest_pb2.RetryTasksResponse = await api.stub.RetryTasks(ingest_pb2.RetryTasksRequest(**fields))
    return answer


def spoiled() -> shards.Outcome:
    return shards.Outcome(indexed=0, skipped=1, failed=2, reasons={"empty_text": 1, "index_refused": 1})


@pytest.fixture
async def tasks(s3: Any, api: Api, tmp_path: pathlib.Path) -> dict[str, str]:
    """A task of each kind, by name."""
    found = {
        name: await finished(s3, api, tmp_path, f"retries/{name}.csv", outcome)
        for name, outcome in {"poisoned": poisoned(), "spoiled": spoiled(), "clean": clean()}.items()
    }
    blocked = await api.stub.Process(order(data_source="s3_csv", s3_key="retries/b.csv", namespace="b"))
    await api.line.book.tasks.block(blocked.task_id, "ACCOUNT_REFUSED", "The account refuses.")
    lost = await api.stub.Process(order(data_source="s3_csv", s3_key="retries/lost.csv", namespace="b"))
    await api.line.book.tasks.fail(lost.task_id, "SOURCE_NOT_FOUND", "There is none.")
    api.drives.begun.clear()
    return {**found, "blocked": blocked.task_id, "lost": lost.task_id}


async def test_a_dry_run_counts_and_does_nothing(api: Api, tasks: dict[str, str]) -> None:
    told = await retry(api, since="1h", dry_run=True)

    assert (told.dry_run, told.matched, told.retried, told.rows) == (True, 4, 3, 3)
    assert dict(told.refused) == {"NOTHING_TO_RETRY": 1}
    assert {each.task_id: (each.rows, each.reason) for each in told.tasks} == {
        tasks["poisoned"]: (2, ""),
        tasks["spoiled"]: (1, ""),
        tasks["lost"]: (0, "NOTHING_TO_RETRY"),
        tasks["blocked"]: (0, ""),
    }
    assert not any(each.HasField("retry_task_id") for each in told.tasks)
    assert api.drives.begun == []
    assert (await retry(api, since="1h", dry_run=True)) == told


async def test_what_was_counted_is_retried_and_never_twice(api: Api, tasks: dict[str, str]) -> None:
    told = await retry(api, since="1h")

    assert (told.dry_run, told.matched, told.retried, told.rows) == (False, 4, 3, 3)
    made = {each.task_id: each.retry_task_id for each in told.tasks if each.HasField("retry_task_id")}
    assert made[tasks["blocked"]] == tasks["blocked"]
    stored = records.record(await api.line.book.tasks.get(made[tasks["spoiled"]]))
    assert (stored.parent_task_id, stored.client) == (tasks["spoiled"], ANN.key_id)
    assert sorted(api.drives.begun) == sorted(made.values())

    for dry_run in (True, False):
        again = await retry(api, since="1h", dry_run=dry_run)
        assert (again.retried, dict(again.refused)) == (0, {"RETRIED_BEFORE": 2, "NOTHING_TO_RETRY": 1})
        assert {each.retry_task_id for each in again.tasks if each.reason == retries.RETRIED_BEFORE} == {
            made[tasks["poisoned"]],
            made[tasks["spoiled"]],
        }
    every = await retry(api, since="1h", all=True, dry_run=True)
    assert (every.retried, every.rows) == (2, 4), "rows of any reason are another retry"


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"status": "failed"}, {"poisoned", "spoiled", "lost"}),
        ({"status": "failed", "reason": "index_refused"}, {"spoiled"}),
        ({"reason": "SOURCE_NOT_FOUND"}, {"lost"}),
        ({"namespace": "b"}, {"lost", "blocked"}),
        ({"status": "blocked", "namespace": "b"}, {"blocked"}),
        ({"namespace": "nowhere"}, set()),
        ({"question_id": 7, "since": "2000-01-01"}, {"poisoned", "spoiled", "lost", "blocked"}),
        ({"question_id": 0}, set()),
        ({"since": "2100-01-01"}, set()),
    ],
)
async def test_each_part_of_the_filter_counts(
    api: Api, tasks: dict[str, str], chosen: dict[str, Any], names: set[str]
) -> None:
    told = await retry(api, **chosen, dry_run=True)
    assert {each.task_id for each in told.tasks} == {tasks[name] for name in names}
    assert told.matched == len(names)


async def test_named_tasks_are_retried_and_no_others(api: Api, tasks: dict[str, str]) -> None:
    told = await retry(api, task_ids=[tasks["spoiled"], tasks["clean"], "no-such-task"])
    assert [(each.task_id, each.rows) for each in told.tasks] == [(tasks["spoiled"], 1)]


async def test_pages_together_are_the_whole(api: Api, tasks: dict[str, str]) -> None:
    seen: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        told = await retry(api, since="1h", dry_run=True, page_size=1, page_token=token)
        assert told.matched <= 1
        seen += [each.task_id for each in told.tasks]
        token, pages = told.next_page_token, pages + 1
    assert sorted(seen) == sorted(tasks[name] for name in ("poisoned", "spoiled", "lost", "blocked"))


async def test_a_caller_retries_its_own_and_an_admin_everybodys(api: Api, tasks: dict[str, str]) -> None:
    api.door.caller = BOB
    assert (await retry(api, since="1h", dry_run=True)).matched == 0
    assert (await retry(api, task_ids=list(tasks.values()), dry_run=True)).matched == 0
    api.door.caller = ADMIN
    told = await retry(api, status="failed", reason="poison")
    made = await api.line.book.tasks.get(told.tasks[0].retry_task_id)
    assert made["client"] == ANN.key_id


async def test_what_a_key_may_not_use_is_left_out_and_said(api: Api, tasks: dict[str, str]) -> None:
    reach = identity.Reach(sources=("retries/spoiled.csv",))
    api.door.caller = identity.Caller(ANN.key_id, frozenset({"ingest"}), allow=reach)
    told = await retry(api, status="failed", since="1h")
    assert {each.task_id: each.reason for each in told.tasks} == {
        tasks["spoiled"]: "",
        tasks["poisoned"]: "NOT_ALLOWED",
        tasks["lost"]: "NOT_ALLOWED",
    }


async def test_a_limit_that_is_reached_is_told_of_all_that_are_left(api: Api, tasks: dict[str, str]) -> None:
    await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=tasks["blocked"]))  # it is open now: the one place
    limits = identity.KeyAllowance(open_tasks=1)
    await api.line.book.allowance.take(ANN.key_id, tasks["blocked"], limits)
    api.door.caller = identity.Caller(ANN.key_id, frozenset({"ingest"}), limits=limits)

    told = await retry(api, reason="poison")

    assert dict(told.refused) == {"OPEN_TASKS_QUOTA_EXCEEDED": 1}
    assert "open" in told.tasks[0].message


@pytest.mark.parametrize("dry_run", [True, False])
async def test_rows_that_a_later_task_writes_anew_are_superseded(
    api: Api, tasks: dict[str, str], dry_run: bool
) -> None:
    later = await api.stub.Process(order(data_source="s3_csv", s3_key="retries/later.csv"))
    assert (await api.line.book.turns.acquire(later.task_id)).held

    told = await retry(api, reason="poison", dry_run=dry_run)

    assert (told.retried, dict(told.refused)) == (0, {"SUPERSEDED": 1})


async def test_no_filter_is_refused(api: Api) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"):
        await retry(api, all=True)

"""``vectorline retry`` by a filter: counted, confirmed, done."""

from __future__ import annotations

import json

import pytest
from vectorline.v1 import ingest_pb2

from tests.unit.cli import fake_line


def answer(request: ingest_pb2.RetryTasksRequest) -> ingest_pb2.RetryTasksResponse:
    made = ingest_pb2.RetryTasksResponse(
        dry_run=request.dry_run, matched=3, retried=2, rows=40, refused={"SUPERSEDED": 1}
    )
    for number in range(2):
        retry_id = None if request.dry_run else f"new-{number}"
        made.tasks.add(task_id=f"old-{number}", status="failed", rows=20, retry_task_id=retry_id)
    made.tasks.add(task_id="old-2", status="failed", reason="SUPERSEDED", message="A later task wrote it.")
    return made


@pytest.fixture
def counted(line: fake_line.FakeLine) -> fake_line.FakeLine:
    line.answers["RetryTasks"] = answer
    return line


def test_with_yes_it_is_counted_and_done(run, counted):
    result = run(
        "retry", "--status", "failed", "--reason", "index_refused", "--since", "2h", "--namespace", "v2", "--yes"
    )

    assert result.exit_code == 0
    assert [request.dry_run for request in counted.requests] == [True, False]
    sent = counted.requests[1]
    assert (sent.status, sent.reason, sent.since, sent.namespace) == ("failed", "index_refused", "2h", "v2")
    assert not sent.all
    assert "3 tasks match; 2 would be retried, with 40 rejected rows." in result.stdout
    assert "3 tasks match; 2 are retried, with 40 rejected rows." in result.stdout
    assert "not 1: SUPERSEDED" in result.stdout
    assert "new-1" in result.stdout


def test_a_dry_run_does_nothing(run, counted):
    result = run("retry", "--reason", "index_refused", "--dry-run", "--json", "--all")

    assert [(request.dry_run, request.all) for request in counted.requests] == [(True, True)]
    document = json.loads(result.stdout)
    assert (document["matched"], document["retried"], document["refused"]) == (3, 2, {"SUPERSEDED": 1})


def test_where_nobody_can_be_asked_nothing_is_retried(run, counted):
    result = run("retry", "--status", "failed", input="y\n")

    assert result.exit_code == 2
    assert "2 tasks would be retried; nobody is here to confirm it." in result.stderr
    assert [request.dry_run for request in counted.requests] == [True]


@pytest.mark.parametrize(("said", "calls"), [("y\n", [True, False]), ("n\n", [True]), ("\n", [True])])
def test_in_a_terminal_it_asks_first(run, counted, monkeypatch, said, calls):
    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr("cli.retries.sys", type("System", (), {"stdin": Terminal}))
    result = run("retry", "--status", "failed", input=said)

    assert [request.dry_run for request in counted.requests] == calls
    assert "Retry 2 tasks with 40 rows?" in result.output
    assert result.exit_code == (0 if len(calls) == 2 else 1)


def test_nothing_that_matches_is_no_failure_and_nothing_that_may_is_one(run, line):
    assert run("retry", "--status", "failed", "--yes").exit_code == 0
    line.answers["RetryTasks"] = ingest_pb2.RetryTasksResponse(dry_run=True, matched=1, refused={"NOTHING_TO_RETRY": 1})
    assert run("retry", "--status", "failed", "--yes").exit_code == 1
    assert [request.dry_run for request in line.requests] == [True, True]


@pytest.mark.parametrize("arguments", [[], ["--all"], ["TASK", "--status", "failed"]])
def test_one_task_or_a_filter_and_nothing_in_between(run, line, arguments):
    result = run("retry", *arguments)
    assert result.exit_code == 2
    assert line.calls == []

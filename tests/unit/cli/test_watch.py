from __future__ import annotations

import json

import grpc
import pytest

from tests.unit.cli import fake_line


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("vectorline_client._sync.watching._pause_seconds", lambda tries: 0.0)


def test_a_watch_that_breaks_is_opened_anew_and_ends_with_the_task(run, line, no_pauses):
    line.watches.append([fake_line.task("processing_chunks", total=9, indexed=3), fake_line.BREAK])
    line.watches.append([fake_line.BREAK])
    line.watches.append([fake_line.task("completed", total=9, indexed=9)])

    result = run("watch", fake_line.TASK_ID)

    assert result.exit_code == 0
    assert line.calls == ["WatchTask"] * 3
    assert "connecting again" in result.stdout


def test_a_task_that_does_not_exist_is_not_asked_for_twice(run, line):
    line.refusals["WatchTask"].append(fake_line.Refusal(grpc.StatusCode.NOT_FOUND, "There is no task x."))

    result = run("watch", "x")

    assert (result.exit_code, line.calls) == (2, ["WatchTask"])
    assert result.stderr == "✗ There is no task x.\n"


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (fake_line.task("completed", total=2, indexed=2), 0),
        (fake_line.task("completed", total=0), 0),
        (fake_line.task("partially_completed", total=2, indexed=1, failed=1), 1),
        (fake_line.task("failed", error="There is no object.", error_reason="SOURCE_NOT_FOUND"), 1),
        (fake_line.task("cancelled", total=2, indexed=1), 1),
        (fake_line.task("blocked", error="The account has no quota.", error_reason="ACCOUNT_REFUSED"), 1),
    ],
)
def test_the_exit_code_tells_the_outcome(run, line, task, code):
    line.watches.append([task])
    line.answers["GetTask"] = task

    watched, looked = run("watch", fake_line.TASK_ID), run("status", fake_line.TASK_ID)

    assert (watched.exit_code, looked.exit_code) == (code, code)
    if task.error:
        assert f"{task.error} ({task.error_reason})" in watched.stdout
        assert f"{task.error} ({task.error_reason})" in looked.stdout


def test_every_change_is_a_json_line(run, line):
    line.watches.append([fake_line.task("queued"), fake_line.task("cancelled")])

    result = run("--json", "watch", fake_line.TASK_ID)

    assert [json.loads(row)["status"] for row in result.stdout.splitlines()] == ["queued", "cancelled"]

from __future__ import annotations

import json

import grpc
import pytest
from google.rpc import error_details_pb2

from cli import connection, endpoints, failures, following
from tests.unit.cli import fake_line


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(following, "_pause_seconds", lambda tries: 0.0)


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def follow(line: fake_line.FakeLine, clock: Clock, breaks: list[None]):
    where = endpoints.Endpoints(addresses={"indexer": line.address})
    with connection.Line(where) as client:
        yield from following.follow(
            client, fake_line.TASK_ID, on_break=lambda: breaks.append(None), clock=clock, sleep=clock.sleep
        )


def test_a_watch_that_breaks_is_opened_anew_and_ends_with_the_task(run, line, no_pauses):
    line.watches.append([fake_line.task("processing_chunks", total=9, indexed=3), fake_line.BREAK])
    line.watches.append([fake_line.BREAK])
    line.watches.append([fake_line.task("completed", total=9, indexed=9)])

    result = run("watch", fake_line.TASK_ID)

    assert result.exit_code == 0
    assert line.calls == ["WatchTask"] * 3
    assert "connecting again" in result.stdout


def test_a_watch_that_ends_before_its_task_is_opened_anew(line):
    line.watches.append([fake_line.task("processing")])
    line.watches.append([fake_line.task("completed")])
    breaks: list[None] = []

    statuses = [task.status for task in follow(line, Clock(), breaks)]

    assert statuses == ["processing", "completed"]
    assert len(breaks) == 1


def test_a_stream_that_a_proxy_resets_is_opened_anew(line):
    """Envoy resets the stream of an indexer that dies; gRPC calls that INTERNAL, as it would a defect of ours."""
    reset = fake_line.Refusal(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")
    line.watches.append([fake_line.task("processing"), reset])
    line.watches.append([fake_line.task("completed")])

    assert [task.status for task in follow(line, Clock(), [])] == ["processing", "completed"]


def test_a_defect_of_the_line_is_told_and_not_asked_again(line):
    incident = error_details_pb2.ErrorInfo(reason="INTERNAL", domain="vectorline", metadata={"incident": "1f"})
    line.watches.append([fake_line.Refusal(grpc.StatusCode.INTERNAL, "Internal error.", (incident,))])

    with pytest.raises(failures.CommandError, match="Internal error"):
        list(follow(line, Clock(), []))

    assert line.calls == ["WatchTask"]


def test_a_watch_waits_for_its_place_among_those_of_its_key(line):
    """The line counts the stream that broke for a moment longer."""
    full = error_details_pb2.ErrorInfo(reason="WATCHES_QUOTA_EXCEEDED", domain="vectorline")
    line.watches.append([fake_line.task("processing"), fake_line.BREAK])
    line.watches.append([fake_line.Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many watches.", (full,))])
    line.watches.append([fake_line.task("completed")])

    assert [task.status for task in follow(line, Clock(), [])] == ["processing", "completed"]


def test_a_line_that_went_away_is_given_up_after_two_minutes_without_a_word(line):
    clock, breaks = Clock(), []
    line.watches.append([fake_line.task("processing"), fake_line.BREAK])
    line.watches.extend([fake_line.BREAK] for _ in range(1000))

    with pytest.raises(failures.CommandError) as caught:
        list(follow(line, clock, breaks))

    assert caught.value.exit_code is failures.ExitCode.UNREACHABLE
    assert following.GIVE_UP_SECONDS < clock.now < following.GIVE_UP_SECONDS + following.LONGEST_PAUSE_SECONDS + 1


def test_a_line_that_was_never_there_is_given_up_after_a_few_tries(line):
    line.watches.extend([fake_line.BREAK] for _ in range(10))

    with pytest.raises(failures.CommandError):
        list(follow(line, Clock(), []))

    assert len(line.calls) == following.FIRST_TRIES


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

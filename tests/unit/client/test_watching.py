"""Following a task through broken streams, in virtual time: the synchronous half, for both are one source."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

import vectorline_client as vectorline
from tests.unit.cli import fake_line
from vectorline_client._sync import platform, watching


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(watching, "time", made)
    monkeypatch.setattr(platform, "sleep", made.sleep)
    return made


def follow(line: fake_line.FakeLine, breaks: list[None]):
    with vectorline.Client(line.address) as client:
        yield from client.watch(fake_line.TASK_ID, on_break=lambda: breaks.append(None))


def test_a_watch_that_ends_before_its_task_is_opened_anew(line, clock):
    line.watches.append([fake_line.task("processing")])
    line.watches.append([fake_line.task("completed")])
    breaks: list[None] = []

    statuses = [task.status for task in follow(line, breaks)]

    assert statuses == ["processing", "completed"]
    assert len(breaks) == 1


def test_a_stream_that_a_proxy_resets_is_opened_anew(line, clock):
    """Envoy resets the stream of an indexer that dies; gRPC calls that INTERNAL, as it would a defect of ours."""
    reset = fake_line.Refusal(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")
    line.watches.append([fake_line.task("processing"), reset])
    line.watches.append([fake_line.task("completed")])

    assert [task.status for task in follow(line, [])] == ["processing", "completed"]


def test_a_defect_of_the_line_is_told_and_not_asked_again(line, clock):
    incident = error_details_pb2.ErrorInfo(reason="INTERNAL", domain="vectorline", metadata={"incident": "1f"})
    line.watches.append([fake_line.Refusal(grpc.StatusCode.INTERNAL, "Internal error.", (incident,))])

    with pytest.raises(vectorline.InternalError, match="Internal error"):
        list(follow(line, []))

    assert line.calls == ["WatchTask"]


def test_a_watch_waits_for_its_place_among_those_of_its_key(line, clock):
    """The line counts the stream that broke for a moment longer."""
    full = error_details_pb2.ErrorInfo(reason="WATCHES_QUOTA_EXCEEDED", domain="vectorline")
    line.watches.append([fake_line.task("processing"), fake_line.BREAK])
    line.watches.append([fake_line.Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many watches.", (full,))])
    line.watches.append([fake_line.task("completed")])

    assert [task.status for task in follow(line, [])] == ["processing", "completed"]


def test_a_line_that_went_away_is_given_up_after_two_minutes_without_a_word(line, clock):
    breaks: list[None] = []
    line.watches.append([fake_line.task("processing"), fake_line.BREAK])
    line.watches.extend([fake_line.BREAK] for _ in range(1000))

    with pytest.raises(vectorline.Unavailable):
        list(follow(line, breaks))

    assert watching.GIVE_UP_SECONDS < clock.now < watching.GIVE_UP_SECONDS + watching.LONGEST_PAUSE_SECONDS + 1


def test_a_line_that_was_never_there_is_given_up_after_a_few_tries(line, clock):
    line.watches.extend([fake_line.BREAK] for _ in range(10))

    with pytest.raises(vectorline.Unavailable):
        list(follow(line, []))

    assert len(line.calls) == watching.FIRST_TRIES

import datetime

import pytest
from vectorline.v1 import ingest_pb2

from services.ingest.request import since, task_filter
from services.runtime import errors

NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)


def asked(**fields: object) -> ingest_pb2.RetryTasksRequest:
    return ingest_pb2.RetryTasksRequest(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", "2026-11-30T10:00:00+00:00"),
        ("90m", "2026-11-30T10:30:00+00:00"),
        ("0s", "2026-11-30T12:00:00+00:00"),
        ("7d", "2026-11-23T12:00:00+00:00"),
        ("1w", "2026-11-23T12:00:00+00:00"),
        ("999999w", "0001-01-01T00:00:00+00:00"),
        ("2026-11-29", "2026-11-29T00:00:00+00:00"),
        ("2026-11-29T23:00:00Z", "2026-11-29T23:00:00+00:00"),
        ("2026-11-29T23:00:00.5+02:00", "2026-11-29T21:00:00.500000+00:00"),
    ],
)
def test_a_moment_is_a_time_a_day_or_a_span(text: str, moment: str) -> None:
    assert since.parse(text, NOW).isoformat() == moment


@pytest.mark.parametrize(
    "text", ["2", "h", "-2h", "2 h", "1.5h", "yesterday", "2026-13-01", "2026-11-29T23:00:00", "²h"]
)
def test_what_is_no_moment_is_said_with_the_forms(text: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        task_filter.TaskFilter.checked(asked(since=text), NOW)
    assert refused.value.violations == (errors.FieldViolation("since", since.FORMS),)


@pytest.mark.parametrize("request_", [asked(), asked(all=True), asked(dry_run=True, page_size=5)])
def test_no_filter_never_means_every_task(request_: ingest_pb2.RetryTasksRequest) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        task_filter.TaskFilter.checked(request_, NOW)
    assert "is needed" in refused.value.violations[0].description


def test_every_bad_field_is_told_at_once() -> None:
    bad = asked(status="done", since="soon", task_ids=["x"] * 1001, page_size=0, page_token="failed.x")
    with pytest.raises(errors.InvalidArgument) as refused:
        task_filter.TaskFilter.checked(bad, NOW)
    told = [violation.field for violation in refused.value.violations]
    assert told == ["status", "since", "task_ids", "page_size", "page_token"]


@pytest.mark.parametrize("status", ["completed", "processing", "pending"])
def test_only_what_can_be_retried_is_a_status(status: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        task_filter.TaskFilter.checked(asked(status=status), NOW)


def test_pages_go_through_the_statuses_and_come_back_by_their_token() -> None:
    every = task_filter.TaskFilter.checked(asked(namespace="v2"), NOW)
    assert every.start == task_filter.Place("failed")
    behind = every.after(every.start, "abc")
    assert task_filter.Place.of(behind.page_token) == behind == task_filter.Place("failed", "abc")
    assert every.after(behind, "") == task_filter.Place("partially_completed")
    assert every.after(task_filter.Place("blocked"), "").page_token == ""
    one = task_filter.TaskFilter.checked(asked(status="cancelled"), NOW)
    assert one.after(one.start, "") == task_filter.Place()


def test_a_token_of_another_status_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        task_filter.TaskFilter.checked(asked(status="failed", page_token="blocked.abc"), NOW)

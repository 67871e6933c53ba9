"""Which tasks are meant, and since when, as people and programs say it."""

import dataclasses
import datetime
import re
from typing import Final, TypeAlias, TypedDict

from vectorline_messages import messages

Since: TypeAlias = datetime.datetime | datetime.timedelta | str

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Filters(TypedDict, total=False):
    """Which tasks.

    Attributes:
        task_type: Only this data_source, e.g. "upload".
        namespace: Only of this namespace.
        question_id: Only of this question.
        reason: Only with this error_reason, or with rows rejected for it.
        since: Only stored since then: a time, a span before now, or such as "2h" and "2026-11-30".
        limit: At most so many.
    """

    task_type: str
    namespace: str
    question_id: int
    reason: str
    since: Since
    limit: int


def moment(since: Since) -> datetime.datetime:
    """The moment that is meant, with its zone.

    Args:
        since: A time (without a zone: local), a span before now, or text: RFC 3339, YYYY-MM-DD (UTC), 90m, 2h, 7d.

    Raises:
        ValueError: The text is none of these.
    """
    now = datetime.datetime.now(datetime.UTC)
    if isinstance(since, datetime.timedelta):
        return now - since
    if isinstance(since, datetime.datetime):
        return since.astimezone(datetime.UTC)
    if span := _SPAN.fullmatch(since):
        return now - datetime.timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
    try:
        found = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise ValueError(f"{since!r} is no moment: 2026-11-30T06:00:00Z, 2026-11-30, 90m, 2h or 7d is.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


def moment_text(since: Since) -> str:
    """A moment as the API takes it."""
    return since if isinstance(since, str) else moment(since).isoformat()


def joined(whole: messages.RetryTasksResponse, page: messages.RetryTasksResponse) -> messages.RetryTasksResponse:
    """Two pages as one."""
    refused = dict(whole.refused)
    for reason, tasks_ in page.refused.items():
        refused[reason] = refused.get(reason, 0) + tasks_
    return dataclasses.replace(
        page,
        matched=whole.matched + page.matched,
        retried=whole.retried + page.retried,
        rows=whole.rows + page.rows,
        refused=refused,
        tasks=(*whole.tasks, *page.tasks),
    )


def wanted(task: messages.Task, filters: Filters) -> bool:
    """Whether the filters let a task pass, time and number aside."""
    reason = filters.get("reason")
    reasons = task.result.failed_by_reason if task.result is not None else {}
    return (
        filters.get("namespace") in (None, task.metadata.namespace)
        and filters.get("question_id") in (None, task.metadata.parameters.get("question_id"))
        and (reason is None or reason == task.error_reason or reason in reasons)
    )

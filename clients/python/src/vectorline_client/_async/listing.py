"""Lists of tasks, page by page."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, TypeAlias, TypedDict

from vectorline_messages import messages

from vectorline_client import spans, wire
from vectorline_client._async import calls

PAGE: Final = 100
LARGEST_PAGE: Final = 1000

Since: TypeAlias = datetime.datetime | datetime.timedelta | str


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


async def tasks(
    calling: calls.AsyncCalls, status: str | Sequence[str] | None, timeout: float, filters: Filters
) -> AsyncIterator[messages.Task]:
    """Tasks of these statuses (None: of all) that the filters let pass, newest first."""
    since = spans.moment(filters["since"]) if "since" in filters else None
    left = filters.get("limit")
    async for task in _merged(calling, _statuses(status), timeout, filters):
        if since is not None and task.metadata.created_at is not None and task.metadata.created_at < since:
            return
        if not _wanted(task, filters):
            continue
        if left is not None:
            if left <= 0:
                return
            left -= 1
        yield task


def moment_text(since: Since) -> str:
    """A moment as the API takes it."""
    return since if isinstance(since, str) else spans.moment(since).isoformat()


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


def _statuses(status: str | Sequence[str] | None) -> Sequence[str]:
    if status is None:
        return ("",)
    return (status,) if isinstance(status, str) else tuple(status)


def _wanted(task: messages.Task, filters: Filters) -> bool:
    reason = filters.get("reason")
    reasons = task.result.failed_by_reason if task.result is not None else {}
    return (
        filters.get("namespace") in (None, task.metadata.namespace)
        and filters.get("question_id") in (None, task.metadata.parameters.get("question_id"))
        and (reason is None or reason == task.error_reason or reason in reasons)
    )


async def _merged(
    calling: calls.AsyncCalls, statuses: Sequence[str], timeout: float, filters: Filters
) -> AsyncIterator[messages.Task]:
    """The lists of several statuses as one; one that moves between them meanwhile is told once."""
    lists = [_one(calling, status, timeout, filters) for status in statuses]
    heads = [await anext(each, None) for each in lists]
    told: set[str] = set()
    while any(head is not None for head in heads):
        newest = max(
            (number for number, head in enumerate(heads) if head is not None), key=lambda number: _age(heads[number])
        )
        task = heads[newest]
        heads[newest] = await anext(lists[newest], None)
        if task is not None and task.task_id not in told:
            if len(lists) > 1:
                told.add(task.task_id)
            yield task


def _age(task: messages.Task | None) -> tuple[float, str]:
    moment = task.metadata.created_at if task is not None else None
    return (moment.timestamp() if moment is not None else 0.0, task.task_id if task is not None else "")


async def _one(
    calling: calls.AsyncCalls, status: str, timeout: float, filters: Filters
) -> AsyncIterator[messages.Task]:
    narrow = any(name in filters for name in ("namespace", "question_id", "reason"))
    limit = filters.get("limit")
    size = PAGE if limit is None else LARGEST_PAGE if narrow else max(1, min(limit, LARGEST_PAGE))
    fields: Mapping[str, str | int | None] = {
        "page_size": size,
        "status_filter": status,
        "task_type": filters.get("task_type"),
    }
    token = ""
    while True:
        raw = await calling.unary("ListTasks", {**fields, "page_token": token}, timeout)
        page = wire.read(messages.ListTasksResponse, raw)
        for task in page.tasks:
            yield task
        token = page.next_page_token
        if not token:
            return

"""Lists of tasks, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from vectorline_messages import messages

from vectorline_client import filters, wire
from vectorline_client._async import calls

PAGE: Final = 100
LARGEST_PAGE: Final = 1000


async def tasks(
    calling: calls.AsyncCalls, status: str | Sequence[str] | None, timeout: float, chosen: filters.Filters
) -> AsyncIterator[messages.Task]:
    """Tasks of these statuses (None: of all) that the filters let pass, newest first."""
    since = filters.moment(chosen["since"]) if "since" in chosen else None
    left = chosen.get("limit")
    if left is not None and left <= 0:
        return
    async for task in _merged(calling, _statuses(status), timeout, chosen):
        if since is not None and task.metadata.created_at is not None and task.metadata.created_at < since:
            return
        if not filters.wanted(task, chosen):
            continue
        yield task
        if left is not None:
            left -= 1
            if not left:
                return


def _statuses(status: str | Sequence[str] | None) -> Sequence[str]:
    if status is None:
        return ("",)
    return (status,) if isinstance(status, str) else tuple(status)


async def _merged(
    calling: calls.AsyncCalls, statuses: Sequence[str], timeout: float, chosen: filters.Filters
) -> AsyncIterator[messages.Task]:
    """The lists of several statuses as one; one that moves between them meanwhile is told once."""
    lists = [_one(calling, status, timeout, chosen) for status in statuses]
    heads = [await anext(each, None) for each in lists]
    told: set[str] = set()
    while any(head is not None for head in heads):
        newest = max(
            (number for number, head in enumerate(heads) if head is not None), key=lambda number: _age(heads[number])
        )
        task = heads[newest]
        if task is not None and task.task_id not in told:
            if len(lists) > 1:
                told.add(task.task_id)
            yield task
        heads[newest] = await anext(lists[newest], None)


def _age(task: messages.Task | None) -> tuple[float, str]:
    moment = task.metadata.created_at if task is not None else None
    return (moment.timestamp() if moment is not None else 0.0, task.task_id if task is not None else "")


async def _one(
    calling: calls.AsyncCalls, status: str, timeout: float, chosen: filters.Filters
) -> AsyncIterator[messages.Task]:
    narrow = any(name in chosen for name in ("namespace", "question_id", "reason"))
    left = chosen.get("limit")
    token = ""
    while True:
        # Where nothing is left out afterwards, no more is read than is wanted.
        size = PAGE if left is None else LARGEST_PAGE if narrow else max(1, min(left, LARGEST_PAGE))
        fields: Mapping[str, str | int | None] = {
            "page_size": size,
            "page_token": token,
            "status_filter": status,
            "task_type": chosen.get("task_type"),
        }
        page = wire.read(messages.ListTasksResponse, await calling.unary("ListTasks", fields, timeout))
        for task in page.tasks:
            yield task
        token = page.next_page_token
        if not token:
            return
        if left is not None and not narrow:
            left -= len(page.tasks)

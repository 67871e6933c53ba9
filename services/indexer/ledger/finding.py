"""Finds tasks by more than an index is kept for: by reason, time, namespace and question, page by page."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from services.indexer.ledger import items, lifecycle, listing, progress
from services.indexer.storage import table

# Their requests have up to 64 KB each, and a message 16 MiB.
PAGE: Final = 100


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which tasks; what is empty lets all pass.

    Attributes:
        client: The key id that submitted them.
        status: Their status.
        reason: Their error_reason, or a reason of rows that they rejected.
        since: The earliest time that they were stored at, RFC 3339 as `clock.text` writes it.
        namespace: Their namespace.
        question_id: Their question; None: any.
    """

    client: str = ""
    status: str = ""
    reason: str = ""
    since: str = ""
    namespace: str = ""
    question_id: int | None = None

    def takes(self, task: table.Item, counts: progress.Progress) -> bool:
        """Whether a task, with its counts, is one of these."""
        return (
            self.client in ("", task["client"])
            and self.status in ("", task["status"])
            and self.namespace in ("", task["namespace"])
            and self.question_id in (None, task.get("question_id"))
            and task["created_at"] >= self.since
            and (not self.reason or self.reason == task.get("error_reason") or self.reason in counts.reasons)
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """Tasks with their counts, and the token of the next page, empty on the last."""

    tasks: list[tuple[table.Item, progress.Progress]]
    next_page_token: str = ""


class Finder:
    """Finds tasks of one status newest first, or among those named."""

    def __init__(self, storage: table.Table, tasks: lifecycle.Lifecycle, lists: listing.Tasks) -> None:
        self._table = storage
        self._tasks = tasks
        self._lists = lists

    async def page(self, wanted: Wanted, page_token: str = "", size: int = PAGE) -> Found:
        """What is wanted of the next tasks of one status, at most PAGE of them.

        Raises:
            errors.InvalidArgument: The token is not of a page of the same client and status.
        """
        query = listing.Query(status=wanted.status, client=wanted.client)
        page = await self._lists.newest(query, limit=min(size, PAGE), page_token=page_token)
        young = [task.task_id for task in page.tasks if task.created_at >= wanted.since]
        over = len(young) < len(page.tasks)  # they come newest first
        return Found(await self._of(young, wanted), "" if over else page.next_page_token)

    async def among(self, task_ids: Sequence[str], wanted: Wanted) -> Found:
        """Those of these tasks that are wanted, once each, in this order. What no task can be called is left out."""
        named = [task_id for task_id in dict.fromkeys(task_ids) if items.may_be_task(task_id)]
        return Found(await self._of(named, wanted))

    async def _of(self, task_ids: Sequence[str], wanted: Wanted) -> list[tuple[table.Item, progress.Progress]]:
        found = await self._tasks.get_many(task_ids)
        counted = zip(found, await progress.read(self._table, found), strict=True)
        return [(task, counts) for task, counts in counted if wanted.takes(task, counts)]

"""The task half of IndexerService: what callers ask about their tasks."""

import contextlib
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf import empty_pb2
from vectorline.v1 import indexer_pb2, task_pb2

from services.billing import prices
from services.indexer import ledger, settings
from services.indexer.ledger import items, listing, progress
from services.indexer.storage import table
from services.indexer.tasks import messages, stalls, watching
from services.runtime import errors, identity

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
LARGEST_OFFSET: Final = 10_000
# Of one answer that is no stream; its limit is 16 MiB, and a task may have 64 KB of parameters.
PAGE_BYTES: Final = 4 * 1024 * 1024
# Tasks of a list that are in memory at once.
SHOWN_AT_ONCE: Final = 50
TASK_TYPES: Final = ("s3_csv", "metabase", "upload", "local_csv", "verify", "adopt", "remove")


class TaskServicer:
    """GetTask, ListTasks, StreamTasks, WatchTask and CancelTask. A caller sees its own tasks, an admin every task."""

    def __init__(
        self, book: ledger.Ledger, rules: settings.LedgerSettings, known: prices.Prices = messages.NO_PRICES
    ) -> None:
        self.prices = known
        self._ledger = book
        self._rules = rules
        self.watches = watching.Watches(
            self._look, poll_seconds=rules.watch_poll_seconds, beat_seconds=rules.watch_beat_seconds
        )

    async def GetTask(self, request: indexer_pb2.GetTaskRequest, context: Context) -> task_pb2.Task:
        return await self._read(request.task_id)

    async def ListTasks(
        self,
        request: indexer_pb2.ListTasksRequest,
        context: Context,
    ) -> indexer_pb2.ListTasksResponse:
        size = min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE)  # AIP-158: more is no error
        query = _query(request.status_filter, request.task_type)
        refuse(
            _bad_filters(request.status_filter, request.task_type)
            + bad_range("page_size", size, 1, LARGEST_PAGE, "; 0 means 100")
            + listing.bad_token(request.page_token, query)
        )
        page = await self._ledger.listing.newest(query, limit=size, page_token=request.page_token)
        answer = indexer_pb2.ListTasksResponse(next_page_token=page.next_page_token)
        room = PAGE_BYTES
        async for listed, message in self._shown(page):
            room -= message.ByteSize()
            if room < 0 and answer.tasks:  # AIP-158: a page may hold fewer than were asked for
                answer.next_page_token = listing.token_before(listed, query)
                break
            answer.tasks.append(message)
        return answer

    async def StreamTasks(
        self, request: indexer_pb2.StreamTasksRequest, context: Context
    ) -> AsyncIterator[task_pb2.Task]:
        limit = request.limit if request.HasField("limit") else DEFAULT_PAGE
        query = _query(request.status_filter, request.task_type)
        refuse(
            _bad_filters(request.status_filter, request.task_type)
            + bad_range("limit", limit, 1, LARGEST_PAGE)
            + bad_range("offset", request.offset, 0, LARGEST_OFFSET, "; page_token goes deeper")
            + listing.bad_token(request.page_token, query)
        )
        page = await self._ledger.listing.newest(
            query,
            limit=limit,
            offset=request.offset,
            page_token=request.page_token,
        )
        if page.next_page_token:
            await context.send_initial_metadata((("x-next-page-token", page.next_page_token),))
        async for _, message in self._shown(page):
            yield message

    async def WatchTask(
        self,
        request: indexer_pb2.WatchTaskRequest,
        context: Context,
    ) -> AsyncIterator[task_pb2.Task]:
        caller = identity.current()
        with self.watches.counted(caller.key_id, caller.limits.watches):
            following = self.watches.follow(request.task_id, lambda item: _may_see(caller, item))
            async with contextlib.aclosing(following) as told:
                async for task in told:
                    yield task

    async def CancelTask(self, request: indexer_pb2.CancelTaskRequest, context: Context) -> empty_pb2.Empty:
        await self.visible(request.task_id)
        await self._ledger.tasks.cancel(request.task_id)
        await context.send_initial_metadata((("x-http-code", "204"),))
        return empty_pb2.Empty()

    async def _shown(self, page: listing.Page) -> AsyncIterator[tuple[listing.Listed, task_pb2.Task]]:
        """A page's tasks as lists show them."""
        for start in range(0, len(page.tasks), SHOWN_AT_ONCE):
            listed = {each.task_id: each for each in page.tasks[start : start + SHOWN_AT_ONCE]}
            for message in await self.short(await self._ledger.tasks.get_many(list(listed))):
                yield listed[message.task_id], message

    async def visible(self, task_id: str) -> table.Item:
        """The task, if the caller may see it.

        Raises:
            errors.NotFound: There is none, or it is another's: the two look alike.
        """
        task = await self._ledger.tasks.get(task_id)
        if not _may_see(identity.current(), task):
            raise items.unknown(task_id)
        return task

    async def _read(self, task_id: str) -> task_pb2.Task:
        (message,) = await self.messages([await self.visible(task_id)])
        return message

    async def _look(self, task_id: str) -> watching.Look:
        """A task and what is told of it, whoever asks."""
        item = await self._ledger.tasks.get(task_id)
        (message,) = await self.messages([item])
        return item, message

    async def messages(self, found: Sequence[table.Item]) -> list[task_pb2.Task]:
        """These tasks as callers see them."""
        return await self.render(found, await self._ledger.progress(found), self._ledger.clock.now())

    async def short(self, found: Sequence[table.Item]) -> list[task_pb2.Task]:
        """The same as lists show them: without their columns, of which one may have thousands."""
        shown = await self.messages(found)
        for message in shown:
            message.metadata.ClearField("columns")
        return shown

    async def render(
        self, found: Sequence[table.Item], counts: Sequence[progress.Progress], now: datetime.datetime
    ) -> list[task_pb2.Task]:
        """These tasks as callers see them, where their progress is known."""
        still = await stalls.of(self._ledger, found, counts, now, self._rules.stall_seconds)
        return [
            messages.message(task, count, now=now, known=self.prices, stall=still.get(task[table.KEY]))
            for task, count in zip(found, counts, strict=True)
        ]


def _may_see(caller: identity.Caller, task: table.Item) -> bool:
    return caller.admin or bool(task["client"] == caller.key_id)


def client() -> str:
    """Whose tasks the caller sees; empty: everybody's."""
    caller = identity.current()
    return "" if caller.admin else caller.key_id


def _query(status: str, task_type: str) -> listing.Query:
    return listing.Query(status=status, task_type=task_type, client=client())


def _bad_filters(status: str, task_type: str) -> list[errors.FieldViolation]:
    bad = []
    if status and status not in tuple(items.Status):
        bad.append(errors.FieldViolation("status_filter", f"One of {', '.join(items.Status)}, or empty."))
    if task_type and task_type not in TASK_TYPES:
        bad.append(errors.FieldViolation("task_type", f"One of {', '.join(TASK_TYPES)}, or empty."))
    return bad


def bad_range(field: str, value: int, least: int, most: int, more: str = "") -> list[errors.FieldViolation]:
    """What is wrong with a number; empty: nothing."""
    if least <= value <= most:
        return []
    return [errors.FieldViolation(field, f"{value} is not within {least} and {most}{more}.")]


def refuse(bad: Sequence[errors.FieldViolation]) -> None:
    """Raise InvalidArgument if anything is wrong, all of it at once."""
    if bad:
        fields = ", ".join(violation.field for violation in bad)
        raise errors.InvalidArgument(f"The request has bad fields: {fields}.", violations=tuple(bad))

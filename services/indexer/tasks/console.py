"""What a page that is left open asks the indexer: all tasks as they change, the chunks of one, and who is calling."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from typing import Final

from vectorline.v1 import console_pb2, task_pb2

from services.indexer import ledger, settings
from services.indexer.ledger import listing
from services.indexer.tasks import attention, board, messages, monitoring, overview, strip, task_filter
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from services.runtime.interceptors.around import Context

DEFAULT_PAGE: Final = 50
LARGEST_PAGE: Final = 200
# Beyond the board there is nothing.
LAST_PAGE: Final = board.MOST_TASKS
MOST_ATTENTION: Final = 50
MOST_TEXT: Final = 2_000
# Between two views while all tasks are looked at for the first time, which takes a second for some thousand of them.
EARLY_SECONDS: Final = 2.0
# So long a first view waits for the list of all tasks; the newest are told without it then.
LISTED_SECONDS: Final = 1.0


class ConsoleServicer(monitoring.MonitoringServicer):
    """Views of the caller's own tasks, for an admin of everybody's."""

    def __init__(
        self,
        tasks: task_servicer.TaskServicer,
        book: ledger.Ledger,
        rules: settings.LedgerSettings,
        seen: board.Board | None = None,
    ) -> None:
        super().__init__(tasks, book, rules)
        self._board = seen or board.Board(book)

    async def WatchTasks(
        self, request: console_pb2.WatchTasksRequest, context: Context
    ) -> AsyncIterator[console_pb2.TasksView]:
        """A page of tasks whenever anything in it changes."""
        caller = identity.current()
        chosen, page = _asked(request)
        with self._tasks.watches.counted(caller.key_id, caller.limits.watches):
            if self._board.last is None:
                first = asyncio.ensure_future(self._board.look())
                listed = asyncio.ensure_future(self._board.glimpsed.wait())
                try:
                    await asyncio.wait((first, listed), timeout=LISTED_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    while not first.done():
                        early = await self._early(chosen, page)
                        yield early
                        waited = (first,) if early.listed else (first, listed)
                        await asyncio.wait(waited, timeout=EARLY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    await first
                finally:
                    first.cancel()
                    listed.cancel()
            beat = max(0.0, self._rules.watch_beat_seconds - 2 * board.LOOK_SECONDS)
            loop = asyncio.get_running_loop()
            last, said = console_pb2.TasksView(), float("-inf")
            seen = self._board.fresh()
            while True:
                view = await self._view(seen or await self._board.look(), chosen, page)
                seen = None
                lasting = _lasting(view)
                if lasting != last or loop.time() >= said + beat:
                    last, said = lasting, loop.time()
                    yield view

    async def GetChunks(self, request: console_pb2.GetChunksRequest, context: Context) -> console_pb2.ChunksView:
        """The chunks of a task."""
        squares = request.squares if request.HasField("squares") else strip.SQUARES
        task_servicer.refuse(task_servicer.bad_range("squares", squares, 1, strip.SQUARES))
        return await strip.of(self._ledger, await self._tasks.visible(request.task_id), squares)

    async def GetColumns(self, request: console_pb2.GetColumnsRequest, context: Context) -> console_pb2.ColumnsView:
        """The columns that the last load of a question had."""
        if not request.namespace:
            missing = errors.FieldViolation("namespace", "The namespace whose columns are asked for.")
            task_servicer.refuse([missing])
        question = request.question_id if request.HasField("question_id") else None
        identity.require(namespace=request.namespace, question=question)
        types = await self._ledger.types.last(request.namespace, question)
        columns = [console_pb2.ColumnType(name=name, type=kind) for name, kind in sorted(types.items())]
        return console_pb2.ColumnsView(columns=columns)

    async def GetKey(self, request: console_pb2.GetKeyRequest, context: Context) -> console_pb2.KeyView:
        """Who is calling."""
        caller = identity.current()
        allow = caller.allow
        return console_pb2.KeyView(
            key_id=caller.key_id,
            scopes=sorted(caller.scopes),
            namespaces=allow.namespaces or (),
            every_namespace=allow.namespaces is None,
            questions=allow.questions or (),
            every_question=allow.questions is None,
            sources=allow.sources or (),
            every_source=allow.sources is None,
        )

    # ---- inside

    async def _early(self, chosen: task_filter.TaskFilter, page: range) -> console_pb2.TasksView:
        """What can be told before all tasks were looked at: first the newest, soon counts, of some filters so far."""
        view = console_pb2.TasksView(counting=True)
        view.timestamp.FromDatetime(self._ledger.clock.now())
        known = self._board.glimpse
        if known is not None:
            await self._glimpsed(view, known, chosen, page)
        elif chosen.by_status_only and chosen.status != task_filter.OPEN and page.stop <= task_servicer.LARGEST_OFFSET:
            query = listing.Query(status=chosen.status, client=chosen.client)
            found = await self._ledger.listing.newest(query, limit=len(page), offset=page.start)
            view.tasks.extend(await self._shown(found.ids))
        return view

    async def _glimpsed(
        self, view: console_pb2.TasksView, known: board.Glimpse, chosen: task_filter.TaskFilter, page: range
    ) -> None:
        """Count by the index what it tells of, and anything else among the notes that were read by now."""
        rest: list[tuple[str, str]]
        if chosen.by_status_only:
            own = (task for task in known.listed if not chosen.client or task.client == chosen.client)
            rest = [(task.task_id, task.status) for task in own]
        else:
            order = (known.notes.get(task.task_id) for task in known.listed)
            rest = [(note.task_id, note.status) for note in order if note is not None and chosen.passes_rest(note)]
        found = [task_id for task_id, status in rest if chosen.passes_status(status)]
        view.total = len(found)
        view.by_status.update(overview.by_status(status for _, status in rest))
        view.truncated = known.truncated
        view.looked, view.listed = len(known.notes), len(known.listed)
        view.tasks.extend(await self._shown(found[page.start : page.stop]))

    async def _view(self, seen: board.Seen, chosen: task_filter.TaskFilter, page: range) -> console_pb2.TasksView:
        own = [note for note in seen.notes if not chosen.client or note.client == chosen.client]
        rest = [note for note in own if chosen.passes_rest(note)]
        found = [note for note in rest if chosen.passes_status(note.status)]
        needy, total = await self._attention(own, seen.now)
        view = console_pb2.TasksView(
            tasks=await self._shown([note.task_id for note in found[page.start : page.stop]]),
            total=len(found),
            by_status=overview.by_status(note.status for note in rest),
            attention=needy,
            attention_total=total,
            truncated=seen.truncated,
        )
        view.timestamp.FromDatetime(seen.now)
        return view

    async def _attention(
        self, notes: Sequence[overview.Note], now: datetime.datetime
    ) -> tuple[list[console_pb2.Attention], int]:
        """The gravest that wait for a person, and how many there are."""
        certain = [*attention.blocked(notes), *attention.failed(notes, now)]
        still = [note for note in notes if note.still(now, self._rules.stall_seconds)]
        stalled = [each for each in await self._messages(still[:MOST_ATTENTION]) if each.HasField("stalled_since")]
        told = [*map(attention.of_note, certain), *map(attention.of_task, stalled)]
        return attention.gravest(told)[:MOST_ATTENTION], len(told) + len(still[MOST_ATTENTION:])

    async def _shown(self, task_ids: list[str]) -> list[task_pb2.Task]:
        """Tasks as lists show them, as many as one answer takes."""
        room = task_servicer.PAGE_BYTES
        shown = []
        for message in await self._tasks.short(await self._ledger.tasks.get_many(task_ids)):
            room -= message.ByteSize()
            if room < 0:
                break
            shown.append(message)
        return shown


def _asked(request: console_pb2.WatchTasksRequest) -> tuple[task_filter.TaskFilter, range]:
    """The filter and the tasks of the page, counted from 0.

    Raises:
        errors.InvalidArgument: Something in the request is wrong.
    """
    page = request.page if request.HasField("page") else 1
    size = request.page_size if request.HasField("page_size") else DEFAULT_PAGE
    since, bad = _moment(request.since)
    if request.status and request.status not in task_filter.STATUSES:
        bad.append(errors.FieldViolation("status", f"One of {', '.join(task_filter.STATUSES)}, or empty."))
    if len(request.text) > MOST_TEXT:
        bad.append(errors.FieldViolation("text", f"{len(request.text):,} characters; {MOST_TEXT:,} are the limit."))
    task_servicer.refuse(
        [
            *bad,
            *task_servicer.bad_range("page", page, 1, LAST_PAGE),
            *task_servicer.bad_range("page_size", size, 1, LARGEST_PAGE),
        ]
    )
    chosen = task_filter.TaskFilter(
        status=request.status,
        namespace=request.namespace,
        question_id=request.question_id if request.HasField("question_id") else None,
        reason=request.reason,
        text=request.text,
        since=since,
        client=task_servicer.client(),
    )
    return chosen, range((page - 1) * size, page * size)


def _moment(text: str) -> tuple[datetime.datetime | None, list[errors.FieldViolation]]:
    if not text:
        return None, []
    try:
        moment: datetime.datetime | None = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        return None, [errors.FieldViolation("since", f"{text[:64]!r} is no RFC 3339 time, e.g. 2026-01-31T12:00:00Z.")]
    return moment, []


def _lasting(view: console_pb2.TasksView) -> console_pb2.TasksView:
    """A copy without what moves with every look: where it is the same, a watcher would learn nothing new."""
    copy = console_pb2.TasksView()
    copy.CopyFrom(view)
    copy.ClearField("timestamp")
    for task in copy.tasks:
        task.CopyFrom(messages.without_estimate(task))
    return copy

"""Notes of all tasks, kept up to date for as long as somebody looks: what lists with filters and counts are made of.

A terminal task never changes again, so that after the first look only open tasks and new ones are read. One look is
shared by all who ask meanwhile, and looks follow each other the slower the longer they take.
"""

import asyncio
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Final

from services.indexer import ledger
from services.indexer.ledger import items, listing
from services.indexer.storage import clock
from services.indexer.tasks import overview

MOST_TASKS: Final = 20_000
# Tasks whose notes are read in one go, and how many goes at once.
READ_AT_ONCE: Final = 100
READERS: Final = 4
# An index follows its table a moment behind: tasks of this last while are listed again.
BEHIND: Final = datetime.timedelta(seconds=60)
# What was in flight when a task was cancelled still comes in, for about as long as an upsert may take.
SETTLES: Final = datetime.timedelta(seconds=120)
LOOK_SECONDS: Final = 1.5
# At most so much of the time is spent looking.
SHARE: Final = 0.25


@dataclasses.dataclass(frozen=True)
class Seen:
    """All tasks at a moment.

    Attributes:
        now: The ledger's time.
        notes: Newest first.
        truncated: There are older ones.
    """

    now: datetime.datetime
    notes: tuple[overview.Note, ...]
    truncated: bool


@dataclasses.dataclass(frozen=True)
class Glimpse:
    """What the first look has found so far.

    Attributes:
        listed: All tasks as the index tells of them, newest first.
        notes: Of those that were read by now; the newest are read first.
        truncated: There are older ones.
    """

    listed: Sequence[listing.Listed]
    notes: Mapping[str, overview.Note]
    truncated: bool


class Board:
    """Looks at all tasks of the ledger.

    Args:
        book: The ledger.
        look_seconds: Between two looks, at least.

    Attributes:
        glimpsed: There is a glimpse.
    """

    def __init__(self, book: ledger.Ledger, look_seconds: float = LOOK_SECONDS) -> None:
        self._ledger = book
        self._look_seconds = look_seconds
        self._notes: dict[str, overview.Note] = {}
        self._last: Seen | None = None
        self._truncated = False
        self._glimpse: Glimpse | None = None
        self.glimpsed = asyncio.Event()
        self._due = 0.0
        self._task: asyncio.Task[Seen] | None = None

    @property
    def last(self) -> Seen | None:
        """What was seen last, however long ago; None before the first look has ended."""
        return self._last

    @property
    def glimpse(self) -> Glimpse | None:
        """What the first look, while it goes on, has found so far; None before its list is read, and after its end."""
        return self._glimpse

    def fresh(self) -> Seen | None:
        """What was seen last, if the next look is not due yet; else None."""
        return self._last if asyncio.get_running_loop().time() < self._due else None

    async def look(self) -> Seen:
        """What there is to see once the next look is due; all who wait share it.

        Raises:
            errors.Unavailable: The table does not answer.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._next())
            self._task.add_done_callback(_retrieved)
        return await asyncio.shield(self._task)

    async def _next(self) -> Seen:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._due - loop.time())
        began = loop.time()
        try:
            self._last = await self._read()
        finally:
            took = loop.time() - began
            self._due = loop.time() + max(self._look_seconds, took * (1 - SHARE) / SHARE)
        return self._last

    async def _read(self) -> Seen:
        now = self._ledger.clock.now()
        last = self._last
        if last is None:
            return await self._first(now)
        listed = await self._listed(clock.text(last.now - BEHIND))
        new = [task_id for task_id in dict.fromkeys(listed) if task_id not in self._notes]
        moving = [note.task_id for note in self._notes.values() if _moves(note, now)]
        read: dict[str, overview.Note] = {}
        await self._read_notes([*new, *moving], read)
        changed = {task_id: note for task_id, note in read.items() if self._notes.get(task_id) != note}
        if not changed:
            return dataclasses.replace(last, now=now)
        self._notes.update(changed)
        return self._seen(now)

    async def _first(self, now: datetime.datetime) -> Seen:
        """Every task by the index, in some requests; then their notes, which takes a while."""
        listed, self._truncated = await self._ledger.listing.every(MOST_TASKS)
        read: dict[str, overview.Note] = {}
        self._glimpse = Glimpse(listed, read, self._truncated)
        self.glimpsed.set()
        try:
            await self._read_notes([task.task_id for task in listed], read)
        finally:
            self._glimpse = None
            self.glimpsed.clear()
        self._notes = read
        return self._seen(now)

    def _seen(self, now: datetime.datetime) -> Seen:
        notes = sorted(self._notes.values(), key=lambda note: (note.created, note.task_id), reverse=True)
        if len(notes) > MOST_TASKS:
            self._truncated = True
            self._notes = {note.task_id: note for note in notes[:MOST_TASKS]}
        return Seen(now, tuple(notes[:MOST_TASKS]), self._truncated)

    async def _listed(self, since: str) -> list[str]:
        """Ids of the tasks that were stored since then, at most so many that the board holds; newest first."""
        found: list[str] = []
        token = ""
        while len(found) < MOST_TASKS:
            page = await self._ledger.listing.newest(listing.Query(), limit=READ_AT_ONCE, page_token=token)
            found += [task.task_id for task in page.tasks if task.created_at >= since]
            token = page.next_page_token
            if not token or (page.tasks and page.tasks[-1].created_at < since):
                break
        return found[:MOST_TASKS]

    async def _read_notes(self, task_ids: list[str], found: dict[str, overview.Note]) -> None:
        """Read notes, the first ones first, into what was found."""
        gate = asyncio.Semaphore(READERS)

        async def some(part: list[str]) -> None:
            async with gate:
                found.update(await overview.read_notes(self._ledger, part))

        parts = [task_ids[start : start + READ_AT_ONCE] for start in range(0, len(task_ids), READ_AT_ONCE)]
        await asyncio.gather(*(some(part) for part in parts))


def _moves(note: overview.Note, now: datetime.datetime) -> bool:
    """Whether a task may be another one by now."""
    return note.status not in items.TERMINAL or note.completed is None or now - note.completed < SETTLES


def _retrieved(task: asyncio.Task[Seen]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited for it may be gone

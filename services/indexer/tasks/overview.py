"""The tasks of the last hours as short notes, which is what monitoring adds up."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence

from services.indexer import ledger
from services.indexer.ledger import items, progress, records
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table

# A view reads so many tasks at most, some MB at a time: beyond that it says that it is cut.
MOST_TASKS = 5_000
PAGE = 100


@dataclasses.dataclass(frozen=True)
class Note:
    """What monitoring keeps of a task.

    Attributes:
        task_id: Its id.
        status: Where it stands.
        created: When it was stored.
        status_at: Since when it has had its status.
        scanned: When its scan ended; None before.
        settled: When its last chunk settled; None before the first.
        completed: When it became terminal; None before.
        indexed: Rows whose vector is in the index.
        skipped: Rows left out on purpose.
        failed: Rows rejected.
        reasons: Rejected rows by reason.
        error: Why it failed or is blocked; empty.
        error_reason: The name of that.
        client: The key that stored it.
        namespace: The Pinecone namespace written to.
        question_id: The question; None: none.
        source: The source file, as people know it; empty: not known.
        origin: The source as it was asked for, which stays what it is once it is found; empty: a question.
        parent_task_id: The task whose rejected rows it retries; empty.
    """

    task_id: str
    status: Status
    created: datetime.datetime
    status_at: datetime.datetime
    scanned: datetime.datetime | None = None
    settled: datetime.datetime | None = None
    completed: datetime.datetime | None = None
    indexed: int = 0
    skipped: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    error: str = ""
    error_reason: str = ""
    client: str = ""
    namespace: str = ""
    question_id: int | None = None
    source: str = ""
    origin: str = ""
    parent_task_id: str = ""

    @property
    def rows(self) -> int:
        """Rows with an outcome."""
        return self.indexed + self.skipped + self.failed

    @property
    def moved(self) -> datetime.datetime:
        """When it last made progress."""
        return max(self.status_at, self.settled or self.status_at)

    def still(self, now: datetime.datetime, stall_seconds: float) -> bool:
        """Whether it may stand still: it is open and did not move for so long."""
        return self.status in items.OPEN and (now - self.moved).total_seconds() > stall_seconds

    def stalled(self, now: datetime.datetime, stall_seconds: float) -> bool:
        """Whether it has chunks to settle and settles none."""
        return self.status == Status.PROCESSING_CHUNKS and self.still(now, stall_seconds)

    def worked(self, now: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime] | None:
        """From the end of the scan to the end of the task, or to now; None before."""
        return None if self.scanned is None else (self.scanned, max(self.scanned, self.completed or now))


@dataclasses.dataclass(frozen=True)
class Overview:
    """Notes, newest first.

    Attributes:
        now: The ledger's time.
        hours: Hours looked back.
        notes: Tasks stored in that time, and every open or blocked one.
        truncated: There were more.
    """

    now: datetime.datetime
    hours: int
    notes: list[Note]
    truncated: bool

    @property
    def since(self) -> datetime.datetime:
        """The beginning of the time looked at."""
        return self.now - datetime.timedelta(hours=self.hours)

    @property
    def stored(self) -> list[Note]:
        """Those stored in that time."""
        return [note for note in self.notes if note.created >= self.since]


async def read(book: ledger.Ledger, hours: int, client: str = "") -> Overview:
    """Look at the tasks of the last hours, of one client or (empty) of all; 0 hours: at the open and blocked ones."""
    now = book.clock.now()
    since = clock.text(now - datetime.timedelta(hours=hours)) if hours else None
    notes: dict[str, Note] = {}
    page: list[str] = []
    truncated = False
    async for listed in book.listing.since(since, client):
        if listed is None or len(notes) + len(page) >= MOST_TASKS:
            truncated = True
            break
        page.append(listed.task_id)
        if len(page) == PAGE:
            notes.update(await read_notes(book, page))
            page = []
    notes.update(await read_notes(book, page))
    found = sorted(notes.values(), key=lambda note: (note.created, note.task_id), reverse=True)
    return Overview(now, hours, found, truncated)


def by_status(statuses: Iterable[str]) -> dict[str, int]:
    """Tasks of each status, zeros too."""
    counts = dict.fromkeys((str(status) for status in Status), 0)
    for status in statuses:
        counts[str(status)] += 1
    return counts


async def read_notes(book: ledger.Ledger, task_ids: Sequence[str]) -> dict[str, Note]:
    """The notes of these tasks, by id; one that is not there is left out."""
    tasks = await book.tasks.get_many(list(task_ids))
    counts = await book.progress(tasks)
    return {str(task[table.KEY]): _note(task, count) for task, count in zip(tasks, counts, strict=True)}


def _note(task: table.Item, counts: progress.Progress) -> Note:
    status = Status(task["status"])
    return Note(
        task_id=str(task[table.KEY]),
        status=status,
        created=clock.parse(task["created_at"]),
        status_at=clock.parse(task["status_at"]),
        scanned=clock.parse(task["scanned_at"]) if "scanned_at" in task else None,
        settled=clock.parse(counts.settled_at) if counts.settled_at else None,
        completed=clock.parse(task["completed_at"]) if status in items.TERMINAL else None,
        indexed=counts.indexed,
        skipped=counts.skipped,
        failed=counts.failed,
        reasons=counts.reasons,
        error=task.get("error", ""),
        error_reason=task.get("error_reason", ""),
        client=str(task["client"]),
        namespace=str(task["namespace"]),
        question_id=task.get("question_id"),
        source=records.source_name(task),
        origin=records.request(task).s3_key or records.source(task).display_name,
        parent_task_id=task.get("parent_task_id", ""),
    )

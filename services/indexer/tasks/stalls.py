"""Whether an open task stands still, since when, and what it waits for: as far as the ledger and its driver know."""

import dataclasses
import datetime
import enum
from collections.abc import Sequence

from services.indexer import ledger
from services.indexer.ledger import progress
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table


class Cause(enum.StrEnum):
    """What a task that stands still waits for, as metrics tell it."""

    DRIVER = "driver"
    TURN = "turn"
    INGEST = "ingest"
    SPLITTER = "splitter"
    SCAN = "scan"
    PINECONE = "pinecone"
    EMBEDDERS = "embedders"


# An embedder that buys nothing says so with each question, and that is kept every fifteen seconds.
REFUSAL_SECONDS = 60.0

SENTENCES = {
    Cause.EMBEDDERS: (
        "No chunk of it was settled since. Its chunks wait for OpenAI, for the shared limit in Valkey, or for a free "
        "embedder: the detailed health and the embedders' logs say which."
    ),
    Cause.PINECONE: "Pinecone takes no vectors now. It goes on by itself.",
    Cause.INGEST: "No ingest has taken it up yet: see whether one is up and reaches the ledger.",
    Cause.SCAN: (
        "Its scan does not move: see whether ingest is up and reads the source. Another ingest takes it up by itself."
    ),
    Cause.SPLITTER: "It has its turn, and waits for a free splitter: see whether ingest is up, or raise SPLITTERS.",
}


@dataclasses.dataclass(frozen=True)
class Stall:
    """Since when a task stands still, and what it waits for: by name, and in a sentence."""

    since: datetime.datetime
    cause: Cause
    reason: str


async def of(
    book: ledger.Ledger,
    tasks: Sequence[table.Item],
    counts: Sequence[progress.Progress],
    now: datetime.datetime,
    stall_seconds: float,
) -> dict[str, Stall]:
    """Those of these tasks that stand still, by id; `counts` is the progress of each."""
    moments = (_since(task, count, now, stall_seconds) for task, count in zip(tasks, counts, strict=True))
    still = [(task, since) for task, since in zip(tasks, moments, strict=True) if since is not None]
    ahead = await book.turns.ahead([task for task, _ in still])
    circuit_open = book.circuit_open()
    found = {}
    for task, since in still:
        task_id = str(task[table.KEY])
        cause = _cause(task, ahead=ahead.get(task_id), circuit_open=circuit_open)
        found[task_id] = Stall(since, cause, _reason(task, cause, ahead.get(task_id), book.circuit_why(), now))
    return found


def _since(
    item: table.Item, counts: progress.Progress, now: datetime.datetime, stall_seconds: float
) -> datetime.datetime | None:
    """Since when a task has made no progress; None: it moves, as far as anybody knows, or is not open."""
    match item["status"]:
        case Status.PENDING | Status.QUEUED:
            moved = str(item["status_at"])
        case Status.PROCESSING:
            # A scan of a large file takes its time, and says now and then that it moves.
            moved = str(item["wait_at"] if "wait" in item else item.get("scan_at", item["status_at"]))
        case Status.PROCESSING_CHUNKS:
            # Since the scan, the resumption or the last settled chunk, whichever was last.
            moved = max(str(item["status_at"]), counts.settled_at)
        case _:
            return None
    at = clock.parse(moved)
    return at if (now - at).total_seconds() > stall_seconds else None


def _cause(item: table.Item, *, ahead: str | None, circuit_open: bool) -> Cause:
    """What a task that stands still waits for.

    Args:
        item: The task.
        ahead: Whom it waits for, as `turns.ahead` says it; None: it has its turn, or never asked for it.
        circuit_open: Pinecone is known not to take vectors now.
    """
    if "wait" in item:
        return Cause.DRIVER
    if ahead is not None:
        return Cause.TURN
    match item["status"]:
        case Status.PENDING:
            return Cause.INGEST
        case Status.QUEUED:
            return Cause.SPLITTER
        case Status.PROCESSING:
            return Cause.SCAN
    return Cause.PINECONE if circuit_open else Cause.EMBEDDERS


def _reason(item: table.Item, cause: Cause, ahead: str | None, circuit_why: str, now: datetime.datetime) -> str:
    match cause:
        case Cause.EMBEDDERS if _is_refused(item, now):
            return f"Nothing is bought for it now. It goes on by itself. An embedder says: {item['refusal']}"
        case Cause.PINECONE if circuit_why:
            return f"{SENTENCES[cause]} Its last words: {circuit_why}"
        case Cause.DRIVER:
            return f"Its driver waits: {item['wait']}"
        case Cause.TURN:
            return f"It waits for its turn: {ahead} of the same question and namespace goes first."
        case other:
            return SENTENCES[other]


def _is_refused(item: table.Item, now: datetime.datetime) -> bool:
    """Whether an embedder said of late why it buys nothing."""
    return "refusal" in item and (now - clock.parse(str(item["refusal_at"]))).total_seconds() <= REFUSAL_SECONDS

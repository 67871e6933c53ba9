"""Whether an open task stands still, since when, and what it waits for: as far as the ledger and its driver know."""

import datetime
import enum

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


def since(
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


def cause(item: table.Item, *, ahead: str | None, circuit_open: bool) -> Cause:
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


def reason(item: table.Item, *, ahead: str | None, circuit_open: bool) -> str:
    """The same in a sentence; see `cause`."""
    match cause(item, ahead=ahead, circuit_open=circuit_open):
        case Cause.DRIVER:
            return f"Its driver waits: {item['wait']}"
        case Cause.TURN:
            return f"It waits for its turn: {ahead} of the same question and namespace goes first."
        case other:
            return SENTENCES[other]

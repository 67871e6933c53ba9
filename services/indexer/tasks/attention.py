"""Which tasks wait for a person: those that are blocked, that stand still, or that failed and were not tried again."""

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from vectorline.v1 import console_pb2, task_pb2

from services.indexer.ledger import removals
from services.indexer.ledger.items import Status
from services.indexer.tasks import overview

KINDS: Final = ("blocked", "stalled", "failed")
# Failures are shown for so long.
FRESH: Final = datetime.timedelta(days=1)


def blocked(notes: Iterable[overview.Note]) -> list[overview.Note]:
    """Those that are blocked."""
    return [note for note in notes if note.status == Status.BLOCKED]


def failed(notes: Sequence[overview.Note], now: datetime.datetime) -> list[overview.Note]:
    """Those that failed in the last day and were not tried again since: by a retry, or by a later task over the source.

    Args:
        notes: All tasks of one caller, newest first.
        now: The ledger's time.
    """
    retried = {note.parent_task_id for note in notes if note.parent_task_id}
    found = []
    later: set[tuple[str, int | None, str]] = set()
    for note in notes:
        thing = (note.namespace, note.question_id, note.origin)
        fresh = note.completed is not None and now - note.completed < FRESH
        if note.status == Status.FAILED and fresh and note.task_id not in retried and thing not in later:
            found.append(note)
        later.add(thing)
    return found


def of_note(note: overview.Note) -> console_pb2.Attention:
    """What is said of a blocked or a failed task."""
    if note.status == Status.BLOCKED:
        kind, remedy = "blocked", "confirm" if note.error_reason == removals.HELD else "retry"
    else:
        kind, remedy = "failed", "retry" if note.failed else "again"
    told = console_pb2.Attention(
        kind=kind,
        task_id=note.task_id,
        message=note.error,
        reason=note.error_reason,
        source=note.source,
        namespace=note.namespace,
        remedy=remedy,
    )
    told.since.FromDatetime(note.completed or note.status_at)
    return told


def of_task(task: task_pb2.Task) -> console_pb2.Attention:
    """What is said of a task that stands still."""
    return console_pb2.Attention(
        kind="stalled",
        task_id=task.task_id,
        message=task.stalled_reason,
        since=task.stalled_since,
        source=task.metadata.source,
        namespace=task.metadata.namespace,
    )


def gravest(found: Iterable[console_pb2.Attention]) -> list[console_pb2.Attention]:
    """The gravest first, then the newest."""
    return sorted(found, key=lambda each: (KINDS.index(each.kind), -each.since.ToNanoseconds()))

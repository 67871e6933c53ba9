"""What the ledger's items are called and what is in them.

task: kind, client, request (ProcessRequest), body (its hash), token, task_type, namespace, question_id, status,
status_at, status_token, listing, client_listing, created, created_at, source (PinnedSource), plan_uri, rows_total,
encoding, delimiter, columns, chunks_planned, warnings (Warning messages), encoding_guessed, quoting, started_at,
scanned_at, stopped_at, completed_at, fence, model, error_reason, error, parent_task_id, recency (a retry's: how new the
rows of its parent are), sealed, chunks_total, shards_total, shards_opened, shards_settled, s
(settled chunks by rolled-up shard; before: the shard's sums), and of those shards together indexed, skipped, failed,
chunks_failed, settled_at, failed:<reason> and what they cost (the names of `billing.spend.Spend`, with what was paid
besides settlements); replaces_nothing (when its scan ended); wait and wait_at: why its driver waits, and since when;
scan_at: when its scan was last seen to move; refusal and refusal_at: why an embedder bought nothing for it,
and when that was last kept.

A task that got its turn after another has after: the last that wrote, or may have.

A task that is no load also has job (Job), while it looks at ids scan_done and scan_total, and from its seal on result
(TaskResult).

Of a key with limits a task also has tokens_per_day, rows_per_day, and rows_day when its rows are counted; slots: n, t
(since when, by task); rows: rows (of a client and a day).

index: says that every task of the table is in the index of clients.

A task that was compared with a manifest has comparison: fence, version, uri, checksum; and overtaken, once it takes the
turn again after another task had it. One that deletes has removal: comparison, first (chunk), chunks, drop (it is one,
which drops the namespace), why_by_ids (and not so); a mirror that was held has held: gone, entries, checksum, why; and
confirmed (a checksum). removed counts what was deleted.

namespace: model, dimension, claimed_at; and of its manifests together known and unknown (entries), pending (runs),
doubts (grows whenever one of them leaves unknown entries, or is made void); dropping (task, fence, since) while it is
dropped whole, and until somebody wants to write and finds that over.

turn: holder, fence, waiters, wrote (the newest recency that holders before the present one may have written).

manifest: namespace, question, version (only grows), key (of its hashes), uri and checksum (of its header; absent: there
is none), known and unknown (its entries), lsn (a place in the namespace's log that its writes have reached; 0: none is
known), opened_task and opened_fence (the turn whose driver marks what it writes),
pending_task, pending_run, pending_uri and pending_checksum (a run that is not merged, and its comparison), look_count,
look_known and look_doubts (vectors in the namespace when it was last compared, and the namespace's sums then); while a
run is pending also listing and created.

types: types (by column), task (that was loaded last).

spent: sums (by key, namespace and model, of a day and a process), or parts:<process> (of a day); see `days`.

shard: c (outcomes by chunk), exp, settled, indexed, skipped, failed, unchanged, removed, chunks_failed, reasons,
settled_at, what they cost, lsn (a place in the namespace's log, of the last of its writes that was settled), and opened
(the last fence under which chunks of it were published).
"""

import datetime
import enum
import re
import urllib.parse
from collections.abc import Iterable
from typing import Final, TypeVar

from services.indexer.storage import table
from services.runtime import errors

Text = TypeVar("Text", str, bytes)

CHUNKS_PER_SHARD: Final = 256
# Of the names of columns in one item: DynamoDB's limit of an item is 400 KB, and the plan has them all.
NAMES_BYTES: Final = 64 << 10
# Of a task's request, for the same reason.
REQUEST_BYTES: Final = 64 << 10
# DynamoDB's limit of a partition key.
KEY_BYTES: Final = 2048
_TASK_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Status(enum.StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    PROCESSING_CHUNKS = "processing_chunks"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Listing(enum.StrEnum):
    """The partitions of the index of all tasks, and each client's of the index of clients."""

    OPEN = "open"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # Tasks that were over before their statuses were told apart here; `vectorline init --migrate` empties it.
    CLOSED = "closed"


OPEN: Final = (Status.PENDING, Status.QUEUED, Status.PROCESSING, Status.PROCESSING_CHUNKS)
TERMINAL: Final = (Status.COMPLETED, Status.PARTIALLY_COMPLETED, Status.FAILED, Status.CANCELLED)
# A task that may not write now.
STOPPED: Final = (Status.BLOCKED, *TERMINAL)


def listing(status: Status) -> Listing:
    """The partition that tasks of a status are listed in."""
    return Listing.OPEN if status in OPEN else Listing(status)


def client_listing(client: str, where: Listing) -> str:
    """The partition of a client's tasks in the index of clients."""
    return f"{urllib.parse.quote(client, safe='')}#{where}"


def listed(client: str, status: Status) -> dict[table.Path, str]:
    """The attributes by which a task is listed."""
    where = listing(status)
    return {table.ALL.partition: str(where), table.OF_CLIENT.partition: client_listing(client, where)}


# Types of tasks that write nothing into the index, though they have turns and chunks.
READING: Final = ("verify", "adopt")
# A shard is 256 of them, and each takes a few bytes of its task.
MOST_CHUNKS: Final = 500_000
# The partition of manifests with a run that is not merged.
PENDING_RUNS: Final = "manifest"
INDEXED_KEY: Final = f"index#{table.OF_CLIENT.name}"
# A task's number of failed rows by reason is an attribute of its own.
REASON: Final = "failed:"


def task_key(task_id: str) -> str:
    """The key of a task.

    Raises:
        errors.NotFound: No task can have this id.
    """
    if not may_be_task(task_id):
        raise unknown(task_id)
    return task_id


def may_be_task(task_id: str) -> bool:
    """Whether a task can have this id."""
    return _TASK_ID.fullmatch(task_id) is not None


def unknown(task_id: str) -> errors.NotFound:
    """The error for a task that is not there, or not the caller's."""
    return errors.NotFound(f"There is no task {task_id[:64]!r}.", reason="TASK_NOT_FOUND")


def shard_of(chunk: int) -> int:
    """The shard that a chunk belongs to."""
    return chunk // CHUNKS_PER_SHARD


def shard_key(task_id: str, shard: int) -> str:
    """The key of a shard."""
    return f"{task_key(task_id)}#shard#{shard}"


def request_key(client: str, request_id: str) -> str:
    """The key of an idempotency key."""
    return _key("request", client, request_id)


def turn_key(index: str, namespace: str, question_id: int | None) -> str:
    """The key of a turn."""
    return _key("turn", index, namespace, "" if question_id is None else str(question_id))


def namespace_key(index: str, namespace: str) -> str:
    """The key of a namespace's claim."""
    return _key("namespace", index, namespace)


def manifest_key(index: str, namespace: str, question_id: int | None) -> str:
    """The key of what of a question is in a namespace."""
    return _key("manifest", index, namespace, "" if question_id is None else str(question_id))


def types_key(index: str, namespace: str, question_id: int | None) -> str:
    """The key of the types that a question's columns had when it was last loaded."""
    return _key("types", index, namespace, "" if question_id is None else str(question_id))


def slots_key(client: str) -> str:
    """The key of a client's open tasks."""
    return _key("slots", client)


def rows_key(client: str, day: str) -> str:
    """The key of what a client's scans of a day found."""
    return _key("rows", client, day)


def spent_key(day: datetime.date, process: str = "", part: int = 0) -> str:
    """The key of who spent something on a day, or of a part of what a process did."""
    return _key("spent", day.isoformat(), *((process, str(part)) if process else ()))


def _key(kind: str, *names: str) -> str:
    # Quoted, or ("a#b", "c") and ("a", "b#c") would share an item.
    key = "#".join((kind, *(urllib.parse.quote(name, safe="") for name in names)))
    if len(key) > KEY_BYTES:
        raise errors.InvalidArgument(f"The name of this {kind} is longer than {KEY_BYTES} bytes.")
    return key


def fitting(values: Iterable[Text], room: int = NAMES_BYTES) -> list[Text]:
    """The first values, e.g. names, that an item has room for, in bytes."""
    kept: list[Text] = []
    for value in values:
        room -= len(value.encode() if isinstance(value, str) else value)
        if room < 0:
            break
        kept.append(value)
    return kept


def is_task(item: table.Item | None) -> bool:
    """Whether an item is a task."""
    return item is not None and item.get("kind") == "task"

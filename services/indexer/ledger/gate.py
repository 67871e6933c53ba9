"""The gate before every purchase and every write."""

import asyncio
import enum
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from services.indexer.ledger import closing, drops, items, lifecycle, namespaces, shards
from services.indexer.ledger.items import Status
from services.indexer.storage import table
from services.runtime import errors, grouping

log = structlog.get_logger()

# Chunks that one read answers for: an expression of DynamoDB's has 4 KB at most.
MOST_LOOKS: Final = 50


class Answer(enum.StrEnum):
    """What to do with a chunk. Anything but GO and WAIT: ack it without settling."""

    GO = "go"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    STALE = "stale"
    WAIT = "wait"


class Gate:
    """Says whether a chunk may be bought or written. Every answer is read consistently.

    Args:
        storage: The table.
        tasks: Blocks a task whose namespace refuses it.
        ends: Closes what a crashed settler left open.
        claims: Says what namespaces hold, and claims them.
        dropped: Keeps others out of namespaces that are being dropped.
        circuit_open: Whether Pinecone is known not to take vectors now.
    """

    def __init__(
        self,
        storage: table.Table,
        tasks: lifecycle.Lifecycle,
        ends: closing.Closing,
        claims: namespaces.Namespaces,
        dropped: drops.Drops,
        *,
        circuit_open: Callable[[], bool],
    ) -> None:
        self._table = storage
        self._tasks = tasks
        self._closing = ends
        self._namespaces = claims
        self._drops = dropped
        self._circuit_open = circuit_open
        self._looks = grouping.Groups(self._read, MOST_LOOKS)

    async def begin(
        self, task_id: str, chunks: Sequence[int], fence: int, model: str, dimension: int, *, waits: str = ""
    ) -> Sequence[Answer]:
        """May these chunks of a task be bought with this model? `waits`: why nothing is bought at all."""
        looks = await asyncio.gather(*(self._look(task_id, chunk, fence) for chunk in chunks))
        task = next((task for answer, task in looks if answer == Answer.GO), None)
        going = Answer.GO if task is None else await self._admit(task_id, task, fence, model, dimension)
        if task is not None and waits and going == Answer.GO:
            await self._tasks.note_refusal(task_id, waits, task)
        return [going if answer == Answer.GO else answer for answer, _ in looks]

    async def _admit(self, task_id: str, task: table.Item, fence: int, model: str, dimension: int) -> Answer:
        """Of a task that may go on: does its namespace take the model's vectors, and the index any?"""
        if (task.get("model"), task.get("dimension")) != (model, dimension):
            known: dict[table.Path, table.Value] = {"model": model, "dimension": dimension}
            await self._table.update(
                table.Update(items.task_key(task_id), set=known, when=(table.Equals("kind", "task"),))
            )
        try:
            await self._namespaces.admit(task["namespace"], model, dimension)
        except errors.Conflict as refused:
            blocked = await self._tasks.block(task_id, refused.reason, refused.message)
            return _answer(blocked, fence)
        return Answer.WAIT if self._circuit_open() else Answer.GO

    async def check_chunk(self, task_id: str, chunk: int, fence: int) -> Answer:
        """May this chunk be settled by its header? Like `begin`, without a model and whatever Pinecone does."""
        answer, _ = await self._look(task_id, chunk, fence)
        return answer

    async def check_write(self, task_id: str, fence: int, wanted: namespaces.Wanted | None = None) -> Answer:
        """May this task write into the index now? GO, CANCELLED, BLOCKED or STALE.

        Args:
            task_id: The task.
            fence: Of its turn.
            wanted: What it writes: the namespace is claimed for that, or the task blocked since it holds another's.

        Raises:
            errors.Unavailable: The namespace is being dropped.
        """
        keys = [items.task_key(task_id)]
        if wanted is not None:
            keys.append(self._namespaces.key(wanted.namespace))
        found = await self._table.get_many(keys, ("status", "fence", "model", "dimension", "releasing", "dropping"))
        answer = _answer(found.get(task_id), fence)
        if answer != Answer.GO or wanted is None:
            return answer
        await self._drops.keep_out(wanted.namespace, task_id, found.get(keys[1], {}).get("dropping"))
        try:
            kind = wanted.kind
            await self._namespaces.claim(wanted.namespace, kind.model, kind.dimension, found.get(keys[1]))
        except namespaces.NamespaceRefused as refused:
            return _answer(await self._tasks.block(task_id, refused.reason, refused.message), fence)
        return answer

    async def _look(self, task_id: str, chunk: int, fence: int) -> tuple[Answer, table.Item | None]:
        name, number = str(chunk), items.shard_of(chunk)
        task, shard = await self._looks.call((task_id, number), name)
        if shard is not None and name in shard.get("c", {}):
            if task is not None and shards.full(shard) and _unfinished(task, number):
                await self._closing.heal(task_id)  # whoever settled the last chunk may have died before this
            return Answer.SETTLED, task
        answer = _answer(task, fence)
        if answer == Answer.GO and shard is None:
            return Answer.STALE, task  # nobody opened its book, so it could not be settled: dropped, and split again
        return answer, task

    async def _read(
        self, key: tuple[str, int], names: Sequence[str]
    ) -> Sequence[tuple[table.Item | None, table.Item | None]]:
        """A task and a shard of it, with the outcomes of these of its chunks; the same for all."""
        task_id, number = key
        shard_key = items.shard_key(*key)
        of_task = ("status", "fence", "namespace", "model", "dimension", "refusal_at")
        outcomes = (("s", str(number)), *(("c", name) for name in dict.fromkeys(names)))
        found = await self._table.get_many(
            [items.task_key(task_id), shard_key], (*of_task, "settled", "exp", *outcomes)
        )
        return [(found.get(task_id), found.get(shard_key))] * len(names)


def _unfinished(task: table.Item, shard: int) -> bool:
    return str(shard) not in task.get("s", {}) or task["status"] in items.OPEN


def _answer(task: table.Item | None, fence: int) -> Answer:
    if task is None or task["status"] in items.TERMINAL:
        return Answer.CANCELLED
    if task["status"] == Status.BLOCKED:
        return Answer.BLOCKED
    return Answer.GO if fence and task.get("fence") == fence else Answer.STALE

"""The items of manifests: what of a question is known to be in a namespace, by which version, and who may write to it.

Every write is on condition of the item as it was read. *Void*: version + 1, no header, no pending run. What is void is
bought again; nothing is ever believed to be in the index that a write without a mark may have changed.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any, Final

import structlog

from services.indexer.ledger import drops, items, lifecycle
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

KEY_BYTES: Final = 32
ATTEMPTS: Final = 10
PENDING: Final = ("pending_task", "pending_run", "pending_uri", "pending_checksum")
LOOK: Final = ("look_count", "look_known", "look_doubts")
# What a pending manifest is listed by.
LISTED: Final = (table.ALL.partition, table.ALL.sort)
PAGE: Final = 100


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a task's rows were compared with, and where the outcome is stored.

    Args:
        fence: Of the turn in which it was made.
        version: Of the manifest.
        uri: Of the outcome.
        checksum: Of the outcome.
    """

    fence: int
    version: int
    uri: str
    checksum: str


@dataclasses.dataclass(frozen=True)
class Look:
    """Vectors in a namespace, and the sums of its manifests when they were counted."""

    count: int
    known: int
    doubts: int


@dataclasses.dataclass(frozen=True)
class State:
    """A manifest's item and the namespace's, as they were read; `over`: whoever wrote the pending run is through."""

    item: table.Item
    namespace: table.Item
    over: bool
    comparison: Comparison | None = None

    @property
    def key(self) -> str:
        """The item's."""
        return str(self.item[table.KEY])


@dataclasses.dataclass(frozen=True)
class Version:
    """The next version of a manifest, as a merge made it."""

    uri: str
    checksum: str
    known: int
    unknown: int
    model: str
    dimension: int
    lsn: int = 0


class Manifests:
    """Reads and changes the items of manifests.

    Args:
        storage: The table.
        watch: The ledger's clock.
        tasks: Where tasks are read.
        dropped: Keeps marks out of namespaces that are being dropped.
        index: The Pinecone index.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        tasks: lifecycle.Lifecycle,
        dropped: drops.Drops,
        *,
        index: str,
    ) -> None:
        self._table = storage
        self._drops = dropped
        self._clock = watch
        self._tasks = tasks
        self.index = index

    async def of_task(self, task_id: str) -> State | None:
        """What a task writes to; None: no turn was ever taken there."""
        task = await self._tasks.get(task_id)
        found = await self.read(self.key(task))
        return None if found is None else dataclasses.replace(found, comparison=_comparison(task))

    async def about(self, namespace: str, question_id: str) -> State | None:
        """What of a question (empty: of none) is in a namespace."""
        return await self.read(items.manifest_key(self.index, namespace, int(question_id) if question_id else None))

    async def read(self, key: str) -> State | None:
        """A manifest by its key."""
        item = await self._table.get(key)
        if item is None or item.get("kind") != "manifest":
            return None
        namespace = await self._table.get(self._namespace_key(item))
        writer = item.get("pending_task")
        over = False
        if writer is not None:
            task = await self._table.get(writer)
            over = task is None or task["status"] in items.TERMINAL or item.get("opened_task", writer) != writer
        return State(item, namespace or {}, over)

    async def pending(self, after: str = "") -> tuple[list[str], str]:
        """Keys of manifests with a run that is not merged, the oldest first; and after what to go on."""
        page = await self._table.query(
            table.ALL, items.PENDING_RUNS, after=after, newest_first=False, equal={}, limit=PAGE
        )
        return [str(item[table.KEY]) for item in page.items], page.next

    # ---- opening

    async def opening(self, task: table.Item, turn: table.Item | None, fence: int) -> list[table.Write]:
        """What the transaction that takes a turn writes besides: that its driver marks what it writes.

        Where the turn before was not opened so, an older release had it, and wrote without a mark: void.
        """
        key = self.key(task)
        item = await self._table.get(key)
        opened: dict[table.Path, Any] = {"opened_task": str(task[table.KEY]), "opened_fence": fence}
        if item is None:
            question = task.get("question_id")
            fresh = {
                table.KEY: key,
                "kind": "manifest",
                "namespace": task["namespace"],
                "question": "" if question is None else str(question),
                "version": 1,
                "key": bytes.fromhex(secrets.token_hex(KEY_BYTES)),
                "known": 0,
                "unknown": 0,
                **{str(name): value for name, value in opened.items()},
            }
            return [table.Put(fresh, when=(table.Missing(table.KEY),))]
        if turn is not None and item.get("opened_fence") == turn["fence"]:
            return [table.Update(key, set=opened, when=_as_read(item))]
        return self._voiding(item, "an older release had the turn", opened)

    async def close_gap(self, task: table.Item) -> None:
        """An older release drives a task in its turn: it writes without a mark, by rules of its own. Void."""
        mine = (str(task[table.KEY]), task["fence"])
        for _ in range(ATTEMPTS):
            item = await self._table.get(self.key(task))
            if item is None or (item.get("opened_task"), item.get("opened_fence")) != mine:
                return
            changed, namespace = self._voiding(item, "an older release drives a task", {})
            assert isinstance(changed, table.Update)
            changed = dataclasses.replace(changed, remove=(*changed.remove, "opened_task", "opened_fence"))
            try:
                await self._table.transact((changed, namespace))
            except table.Cancelled:
                continue
            return
        raise _busy()

    # ---- a run

    async def keep(self, task_id: str, made: Comparison, look: Look | None) -> Comparison:
        """Store a task's comparison, once a turn; the one that counts.

        Raises:
            errors.Conflict: The turn is not the task's any more, or the manifest changed (MANIFEST_CHANGED).
        """
        for _ in range(ATTEMPTS):
            task = await self._tasks.get(task_id)
            if task["status"] in items.STOPPED or task.get("fence") != made.fence:
                raise errors.Conflict("The turn is not the task's any more.", reason="STALE")
            before = _comparison(task)
            if before is not None and before.fence == made.fence:
                return before
            fields = dataclasses.asdict(made)
            same = table.Missing("comparison") if before is None else table.Equals(("comparison", "uri"), before.uri)
            kept = table.Update(
                task_id,
                set={"comparison": fields},
                when=(table.Equals("fence", made.fence), table.OneOf("status", items.OPEN), same),
            )
            mine = (
                table.Equals("version", made.version),
                table.Equals("opened_task", task_id),
                table.Equals("opened_fence", made.fence),
            )
            key = self.key(task)
            looked: table.Write = table.Check(key, when=mine)
            if look is not None:
                values: dict[table.Path, Any] = dict(zip(LOOK, (look.count, look.known, look.doubts), strict=True))
                looked = table.Update(key, set=values, when=mine)
            try:
                await self._table.transact((kept, looked))
            except table.Cancelled:
                item = await self._table.get(key)
                if item is None or item["version"] != made.version or item.get("opened_fence") != made.fence:
                    raise errors.Conflict("The manifest changed meanwhile.", reason="MANIFEST_CHANGED") from None
                continue
            return made
        raise _busy()

    async def mark(self, task_id: str, fence: int) -> bool:
        """Say that the task's run begins to write; False: the manifest changed, and what is written is not marked.

        Raises:
            errors.Conflict: The turn is not the task's any more.
            errors.Unavailable: The namespace is being dropped.
        """
        for _ in range(ATTEMPTS):
            task = await self._tasks.get(task_id)
            made = _comparison(task)
            if task["status"] in items.STOPPED or task.get("fence") != fence or made is None:
                raise errors.Conflict("The turn is not the task's any more.", reason="STALE")
            key = self.key(task)
            item = await self._table.get(key)
            if item is None or (item.get("opened_task"), item.get("opened_fence")) != (task_id, fence):
                return False
            if item.get("pending_task") is not None:
                return bool(item["pending_uri"] == made.uri)
            if item["version"] != made.version:
                return False
            await self._drops.keep_out_of(item["namespace"], task_id)
            values: dict[table.Path, Any] = {
                **dict(zip(PENDING, (task_id, made.fence, made.uri, made.checksum), strict=True)),
                table.ALL.partition: items.PENDING_RUNS,
                table.ALL.sort: f"{clock.text(self._clock.now())}#{key}",
            }
            try:
                await self._table.transact(
                    (
                        table.Update(key, set=values, when=_as_read(item)),
                        table.Update(self._namespace_key(item), add={"pending": 1}, when=(table.Missing("dropping"),)),
                    )
                )
            except table.Cancelled:
                continue
            log.info("A run is marked.", action="run_marked", task_id=task_id, run=made.fence)
            return True
        raise _busy()

    async def commit(self, state: State, made: Version) -> bool:
        """A pending run was merged: the next version counts, if everything still is as it was read."""
        item = state.item
        changes: dict[table.Path, Any] = {
            "version": item["version"] + 1,
            "uri": made.uri,
            "checksum": made.checksum,
            "known": made.known,
            "unknown": made.unknown,
            "lsn": made.lsn,
        }
        claimed = (
            (table.Equals("model", made.model), table.Equals("dimension", made.dimension))
            if made.model
            else (table.Missing("model"),)
        )
        sums: dict[table.Path, int] = {
            "known": made.known - item["known"],
            "unknown": made.unknown - item["unknown"],
            "pending": -1,
            "doubts": int(made.unknown > 0),
        }
        try:
            await self._table.transact(
                (
                    table.Update(state.key, set=changes, remove=(*PENDING, *LISTED), when=_as_read(item)),
                    table.Update(self._namespace_key(item), add=sums, when=claimed),
                )
            )
        except table.Cancelled:
            return False
        log.info("A run is merged.", action="run_merged", manifest=state.key, version=changes["version"])
        return True

    async def void(self, key: str, version: int, why: str, *, past: int = 0) -> None:
        """Nothing of this version is believed any more; without effect on any other. The next is later than `past`."""
        for _ in range(ATTEMPTS):
            item = await self._table.get(key)
            if item is None or item["version"] != version:
                return
            try:
                await self._table.transact(self._voiding(item, why, {"version": max(version, past) + 1}))
            except table.Cancelled:
                continue
            return
        raise _busy()

    def key(self, task: table.Item) -> str:
        """The key of what a task writes to."""
        return items.manifest_key(self.index, task["namespace"], task.get("question_id"))

    def _namespace_key(self, item: table.Item) -> str:
        return items.namespace_key(self.index, item["namespace"])

    def _voiding(self, item: table.Item, why: str, also: dict[table.Path, Any]) -> list[table.Write]:
        log.warning("A manifest is void.", action="manifest_void", manifest=item[table.KEY], why=why)
        changes: dict[table.Path, Any] = {"version": item["version"] + 1, "known": 0, "unknown": 0, **also}
        pending = int(item.get("pending_task") is not None)
        return [
            table.Update(
                str(item[table.KEY]),
                set=changes,
                remove=("uri", "checksum", "lsn", *PENDING, *LISTED, *LOOK),
                when=_as_read(item),
            ),
            table.Update(
                self._namespace_key(item),
                add={"known": -item["known"], "unknown": -item["unknown"], "pending": -pending, "doubts": 1},
            ),
        ]


def _as_read(item: table.Item) -> Sequence[table.Condition]:
    """That an item is as it was read: its version, the run that is pending, and whose turn it is."""
    names = ("version", "pending_task", "pending_run", "opened_task", "opened_fence")
    return [table.Equals(name, item[name]) if name in item else table.Missing(name) for name in names]


def _comparison(task: table.Item) -> Comparison | None:
    return Comparison(**task["comparison"]) if "comparison" in task else None


def _busy() -> errors.Unavailable:
    return errors.Unavailable("The manifest is written to by others; try again.", retry_seconds=1.0)

"""What one key may use of the line: open tasks at once, and rows a day.

**Open tasks**: the item ``slots#<client>`` has a place for each. A task takes its place before it is stored, by one
conditional update, so two calls at once never take the last one twice. Nobody gives a place back: when all are taken,
the next call looks whose tasks are over and clears them away. So a crash anywhere costs nothing.

**Rows**: the item ``rows#<client>#<day>`` adds up what scans found, each task once: its own item is marked in the same
transaction. A scan that would pass the limit is not counted; its task fails by name, before a cent is spent.

Keys without limits never touch these items.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from services.indexer.ledger import items
from services.indexer.storage import clock, table
from services.runtime import errors, identity, key_tokens

log = structlog.get_logger()

OPEN_TASKS: Final = "OPEN_TASKS_QUOTA_EXCEEDED"
ROWS: Final = "ROWS_QUOTA_EXCEEDED"
# When a task may end is not known; asking again after so long is no burden.
OPEN_TASKS_RETRY_SECONDS: Final = 15.0
# Between taking a place and storing its task.
STORING_SECONDS: Final = 120.0


class Allowance:
    """Counts what keys with limits use."""

    def __init__(self, storage: table.Table, watch: clock.Clock) -> None:
        self._table = storage
        self._clock = watch

    async def check(self, client: str, limits: identity.KeyAllowance) -> None:
        """Whether a task would be taken now; asked before an upload's body is read.

        Raises:
            errors.ResourceExhausted: A limit is reached; reason OPEN_TASKS_QUOTA_EXCEEDED or ROWS_QUOTA_EXCEEDED.
        """
        await self._check_rows(client, limits)
        if limits.open_tasks:
            slots = await self._table.get(items.slots_key(client))
            if slots is not None and slots["n"] >= limits.open_tasks:
                await self._make_room(client, slots, limits.open_tasks)

    async def take(self, client: str, task_id: str, limits: identity.KeyAllowance) -> None:
        """Take a place for a task that is about to be stored. Repeating it takes no second one.

        Raises:
            errors.ResourceExhausted: See `check`.
        """
        await self._check_rows(client, limits)
        while limits.open_tasks:
            full = await self._try(client, task_id, limits.open_tasks)
            if full is None:
                return
            await self._make_room(client, full, limits.open_tasks)

    async def give_back(self, client: str, task_id: str) -> None:
        """The task is not stored after all, or over."""
        await self._clear(client, [task_id])

    async def count_rows(self, task: table.Item, rows: int) -> bool:
        """Count what a scan found; False: it passes the day's limit and is not counted."""
        limit = task.get("rows_per_day", 0)
        if not limit or "rows_day" in task:
            return True
        client, day = str(task["client"]), self._day()
        key = items.rows_key(client, day)
        await self._table.update(table.Update(key, keep={"rows": 0, "kind": "rows"}))
        own = table.Update(task[table.KEY], set={"rows_day": day}, when=(table.Missing("rows_day"),))
        whole = table.Update(key, add={"rows": rows}, when=(table.Below("rows", limit - rows + 1),))
        try:
            await self._table.transact([own, whole])
        except table.Cancelled:
            counted = await self._table.get(task[table.KEY])
            return counted is not None and "rows_day" in counted  # a call whose answer was lost
        return True

    async def _check_rows(self, client: str, limits: identity.KeyAllowance) -> None:
        if not limits.rows_per_day:
            return
        used = await self._table.get(items.rows_key(client, self._day()))
        if used is not None and used["rows"] >= limits.rows_per_day:
            raise errors.ResourceExhausted(
                f"The key {client!r} has used its {limits.rows_per_day} rows of today (UTC). Ask again tomorrow.",
                reason=ROWS,
                metadata={"limit": str(limits.rows_per_day), "unit": "rows/day"},
                retry_seconds=key_tokens.seconds_left(self._clock.now()),
            )

    async def _try(self, client: str, task_id: str, most: int) -> table.Item | None:
        """Take a place; None: taken. Else all places as they are."""
        key = items.slots_key(client)
        await self._table.update(table.Update(key, keep={"n": 0, "t": {}, "kind": "slots"}))
        place = ("t", task_id)
        taking = table.Update(
            key,
            set={place: clock.text(self._clock.now())},
            add={"n": 1},
            when=(table.Missing(place), table.Below("n", most)),
        )
        try:
            await self._table.update(taking)
        except table.ConditionFailed as failed:
            held = failed.item or {"n": 0, "t": {}}
            return None if task_id in held["t"] else held
        return None

    async def _make_room(self, client: str, slots: table.Item, most: int) -> None:
        """Clear away the places of tasks that are over.

        Raises:
            errors.ResourceExhausted: There are too many left.
        """
        over = await self._over(slots)
        await self._clear(client, over)
        left = slots["n"] - len(over)
        if left >= most:
            raise errors.ResourceExhausted(
                f"The key {client!r} has {left} open tasks and may have {most}. Ask again when one is finished.",
                reason=OPEN_TASKS,
                metadata={"limit": str(most), "unit": "open tasks"},
                retry_seconds=OPEN_TASKS_RETRY_SECONDS,
            )

    async def _over(self, slots: table.Item) -> list[str]:
        tasks = await self._table.get_many(sorted(slots["t"]), ("status",))
        now = self._clock.now()
        return [
            task_id
            for task_id, since in slots["t"].items()
            if (
                tasks[task_id]["status"] in items.STOPPED
                if task_id in tasks
                else (now - clock.parse(since)).total_seconds() > STORING_SECONDS
            )
        ]

    async def _clear(self, client: str, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            place = ("t", task_id)
            clearing = table.Update(
                items.slots_key(client), remove=(place,), add={"n": -1}, when=(table.Exists(place),)
            )
            try:
                await self._table.update(clearing)
            except table.ConditionFailed:
                continue  # another call cleared it

    def _day(self) -> str:
        return self._clock.now().date().isoformat()

"""Tasks that wait: for their turn, each until it is worth asking again, and for what a person should know of."""

import asyncio
import dataclasses
from collections.abc import Container

from services.ingest import ledger_client

# The next in line asks as often as a turn can pass on. A turn lasts 13 s and more (the ledger lets the last upsert of a
# holder run out), so those behind it come too late by nothing if they ask the less often, the further back they are.
FIRST_SECONDS = 2.0
PLACE_SECONDS = 6.0
LONGEST_SECONDS = 600.0


@dataclasses.dataclass
class _Place:
    turn: ledger_client.Turn
    woken: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


class Line:
    """The tasks of this process that wait for their turn.

    A thousand of them cost a few calls a second, and none is forgotten where those ahead of it go away all at once:
    each answer names the task that is the next, which is woken; and in each round of the resubmitter one of each line
    asks.
    """

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}

    async def wait(self, task_id: str, turn: ledger_client.Turn) -> None:
        """Until this task should ask again."""
        first = self._places.get(turn.first_task_id)
        if first is not None and first.turn.position > 1:  # it does not know yet that it is the next
            first.woken.set()
        place = self._places[task_id] = _Place(turn)
        try:
            async with asyncio.timeout(seconds(turn.position)):
                await place.woken.wait()
        except TimeoutError:
            pass
        finally:
            del self._places[task_id]

    def wake(self, task_id: str) -> None:
        """Let a task ask now, if it waits here."""
        if task_id in self._places:
            self._places[task_id].woken.set()

    def look_around(self, open_tasks: Container[str]) -> None:
        """Let those that are not open any more find that out; of those that wait for one holder the foremost asks."""
        foremost: dict[str, str] = {}
        for task_id, place in sorted(self._places.items(), key=lambda each: each[1].turn.position):
            if task_id in open_tasks:
                foremost.setdefault(place.turn.holder_task_id, task_id)
            else:
                self.wake(task_id)
        for task_id in foremost.values():
            self.wake(task_id)


def seconds(position: int) -> float:
    """When to ask again at this place in line."""
    return FIRST_SECONDS if position <= 1 else min(LONGEST_SECONDS, PLACE_SECONDS * position)


class Notes:
    """Tells the ledger why a task waits, when that changes: its callers see it once the task stands still."""

    def __init__(self, ledger: ledger_client.Ledger) -> None:
        self._ledger = ledger
        self._told: dict[str, str] = {}

    def known(self, task_id: str, why: str) -> None:
        """What the ledger holds: perhaps of a process that drove the task before, and is gone."""
        self._told[task_id] = why
        if not why:
            del self._told[task_id]

    async def tell(self, task_id: str, why: str) -> None:
        """What it waits for; empty: for nothing any more. What cannot be told now is told with the next change."""
        if self._told.get(task_id, "") == why:
            return
        if await self._ledger.note_wait(task_id, why):
            self._told[task_id] = why
        if not why:
            self._told.pop(task_id, None)

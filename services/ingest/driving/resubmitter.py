"""Drives every open task that nobody drives: new ones at once, forgotten ones within RESUBMIT_SECONDS."""

import asyncio
import contextlib

import structlog

from services.chunks import errors as queue_errors
from services.chunks import inflight, presence
from services.ingest import ledger_client
from services.ingest.driving import driver, merging, waiting
from services.runtime import background
from services.runtime.tracing import spans

log = structlog.get_logger()

# A task that waits for its turn, or for a dependency, is tried again sooner by the process that has it.
SOON_SECONDS = 2.0
PRESENCE = "ingest"
# Tasks that ask for their turn at once; a process that starts among a thousand that wait asks for all of them.
ASKING = 8


class Resubmitter:
    """The tasks that this process drives, and the rounds that find those nobody drives."""

    def __init__(
        self,
        drive: driver.Driver,
        ledger: ledger_client.Ledger,
        flight: inflight.InFlight,
        present: presence.Presence,
        merger: merging.Merger,
        *,
        splitters: int,
        resubmit_seconds: float,
        presence_seconds: float,
    ) -> None:
        self._driver = drive
        self._ledger = ledger
        self._inflight = flight
        self._presence = present
        self._merger = merger
        self._name = presence.unique_name()
        self._resubmit_seconds = resubmit_seconds
        self._presence_seconds = presence_seconds
        self._slots = asyncio.Semaphore(splitters)
        self._asking = asyncio.Semaphore(ASKING)
        self._line = waiting.Line()
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the rounds."""
        self._loops = [
            asyncio.create_task(background.forever("resubmit", self._rounds)),
            asyncio.create_task(background.forever("presence", self._be_present)),
        ]

    def begin(self, task_id: str) -> None:
        """Drive a task now, unless this process does so already."""
        if task_id not in self._driving:
            task = asyncio.create_task(self._drive(task_id))
            self._driving[task_id] = task
            task.add_done_callback(lambda _: self._driving.pop(task_id, None))

    async def drain(self) -> None:
        """Stop driving: another process, or the next start, goes on from the ledger."""
        tasks = [*self._loops, *self._driving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(queue_errors.QueueUnavailable):
            await self._presence.withdraw(self._name)

    async def _drive(self, task_id: str) -> None:
        spans.leave()  # the request that began it is over soon
        while await self._turn(task_id):
            async with self._slots:
                end = await self._driver.drive(task_id)
            if end not in {driver.End.WAITING, driver.End.LATER, driver.End.UNSETTLED}:
                return
            await asyncio.sleep(SOON_SECONDS)

    async def _turn(self, task_id: str) -> bool:
        """Wait until it is the task's turn, which takes no slot; False: it needs no driving any more."""
        tries = 0
        while True:
            try:
                async with self._asking:
                    turn = await self._ledger.ask_turn(task_id)
            except ledger_client.LedgerUnavailable:
                tries += 1
                await asyncio.sleep(min(self._resubmit_seconds, SOON_SECONDS * tries))
            except ledger_client.LedgerDefect:
                return True  # the drive meets it too, and counts
            except ledger_client.LedgerRefused:
                return False
            else:
                if turn.held:
                    return True
                if ledger_client.over(turn):
                    return False
                await self._line.wait(task_id, turn)

    async def _rounds(self) -> None:
        while True:
            try:
                await self._round()
            except (
                ledger_client.LedgerUnavailable,
                ledger_client.LedgerDefect,
                queue_errors.QueueUnavailable,
            ) as error:
                log.warning("The round was not finished.", action="resubmit_failed", error=str(error))
            await asyncio.sleep(self._resubmit_seconds)

    async def _round(self) -> None:
        open_tasks: set[str] = set()
        async for record in self._ledger.open_tasks():
            open_tasks.add(record.task_id)
            self.begin(record.task_id)
        self._line.look_around(open_tasks)
        for task_id in await self._inflight.tasks():
            if task_id not in self._driving and await self._terminal(task_id):
                await self._inflight.clear(task_id)
        await self._merger.round()

    async def _terminal(self, task_id: str) -> bool:
        try:
            return (await self._ledger.get(task_id)).status in ledger_client.TERMINAL
        except ledger_client.LedgerRefused:
            return True  # nobody knows it

    async def _be_present(self) -> None:
        while True:
            with contextlib.suppress(queue_errors.QueueUnavailable):
                await self._presence.announce(self._name)
            await asyncio.sleep(self._presence_seconds)

"""An event loop with virtual time in which processes live, freeze and die.

Inside of a process callbacks run in the order in which they were called for, as asyncio promises; which process goes
next is drawn from the seed. A process that dies is never run again: none of its ``finally`` blocks, as after a SIGKILL.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

START = 1_800_000_000.0


class Process:
    """Tasks that die and freeze together."""

    def __init__(self, loop: "Loop", name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        # Seconds that its wall clock is off.
        self.clock_off = 0.0
        # Dies after so many more steps.
        self.steps_to_live: int | None = None
        self.ready: deque[asyncio.Handle] = deque()
        self.on_death: list[Callable[[], None]] = []
        self._loop = loop
        # What is dead stays in memory until the seed is over: collecting it would run its cleanup.
        self._kept: list[Any] = []
        loop.processes.append(self)

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        return [thing for thing in self._kept if isinstance(thing, asyncio.Task)]

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        context = contextvars.copy_context()
        context.run(CURRENT.set, self)
        task = self._loop.create_task(work, context=context)
        self._kept.append(task)
        return task

    def keep(self, thing: object) -> None:
        self._kept.append(thing)

    def push(self, handle: asyncio.Handle) -> None:
        if not self.alive:
            self._kept.append(handle)
            return
        if not self.ready and not self.frozen:
            self._loop.active.append(self)
        self.ready.append(handle)

    def kill(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._kept.extend(self.ready)
        self._leave()
        for tell in self.on_death:
            tell()

    def freeze(self) -> None:
        if self.alive and not self.frozen:
            self._leave()
            self.frozen = True

    def thaw(self) -> None:
        if self.alive and self.frozen:
            self.frozen = False
            if self.ready:
                self._loop.active.append(self)

    def _leave(self) -> None:
        if self in self._loop.active:
            self._loop.active.remove(self)


CURRENT: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


class _Timer(asyncio.TimerHandle):
    """A timer that knows whose it is."""

    __slots__ = ("owner",)
    owner: Process


class Stuck(Exception):
    """Nothing can ever happen again."""


class Loop(asyncio.BaseEventLoop):
    """See the module's docstring."""

    def __init__(self, choice: random.Random) -> None:
        super().__init__()
        self.now = START
        self.steps = 0
        self.active: list[Process] = []
        self.processes: list[Process] = []
        self.defects: list[str] = []
        self._choice = choice
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        # Fate itself, and the world outside.
        self.fate = Process(self, "fate")
        self.set_exception_handler(self._defect)
        self.set_task_factory(_new_task)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        owner = CURRENT.get(None) if context is None else context.get(CURRENT)
        (owner or self.fate).push(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = _Timer(when, callback, args, self, context)
        handle.owner = (CURRENT.get(None) if context is None else context.get(CURRENT)) or self.fate
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _run_once(self) -> None:
        active = self.active
        while not active:
            self._advance()
        process = active[int(self._choice.random() * len(active))] if len(active) > 1 else active[0]
        if process.steps_to_live is not None:
            process.steps_to_live -= 1
            if process.steps_to_live <= 0:
                process.kill()
                return
        handle = process.ready.popleft()
        if not process.ready:
            active.remove(process)
        if not handle._cancelled:
            self.steps += 1
            handle._run()

    def _advance(self) -> None:
        timers = self._timers
        while timers and (timers[0][2]._cancelled or not timers[0][2].owner.alive):
            heapq.heappop(timers)
        if not timers:
            raise Stuck
        self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                handle.owner.push(handle)

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not self.is_closed():
            self.defects.append(f"{context['message']}: {error!r}")

    def _process_events(self, events: list[Any]) -> NoReturn:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        """There is no other thread."""


def _new_task(loop: asyncio.AbstractEventLoop, work: Any, context: Any = None) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, context=context)
    task._log_destroy_pending = False
    owner = CURRENT.get(None) if context is None else context.get(CURRENT)
    if owner is not None:
        owner.keep(task)
    return task


async def for_ever() -> NoReturn:
    """What a dead process waits for."""
    while True:
        await asyncio.get_running_loop().create_future()

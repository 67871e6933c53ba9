"""Seeds in which happens more often what a rule is about, until an invariant does not hold."""

import asyncio
import contextlib
import dataclasses
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.indexer.storage import table
from services.runtime import errors
from tests.simulation import fate, files, jobs, journal, network, people, world
from tests.simulation import loop as loops

# Every defect must be noticed within so many seeds.
NOTICED_WITHIN = 150
# Until a release is replaced by another: a task is over, and the turn passes on.
RELEASE_SECONDS = 40.0
# What is not as a manifest says, in the index or by the ledger's counts.
WRONG = (" holds ", " knows ", "sums are", " skips ")

DRAW = jobs.draw


def leaning(
    monkeypatch: pytest.MonkeyPatch,
    *,
    older: bool = False,
    interferes: float = 0.0,
    refusals: int = 0,
    states: int = 4,
    altered: float = files.ALTERED,
    mirrors: bool = False,
    **more: Any,
) -> None:
    """Let happen more often what the rule is about.

    Args:
        monkeypatch: Takes it away again.
        older: Ingest goes back and forth between this release and an older one, a task or so each.
        interferes: How often somebody else changes the index between two loads.
        refusals: How often the account refuses, so that tasks are blocked and resumed.
        states: So many tasks there are at least, each over a later state of the file before.
        altered: Of the rows, those that a later state has with another text.
        mirrors: Every later state of a file is a mirror.
        more: Of `Fate`: contended, cancels, poison.
    """
    made = fate.Fate.__init__

    def lean(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._older, self._interferes, self.poison, self.stalls = 0.0, interferes, False, 0.0
        if older:
            self.line["ingest"] = 1
            releases = itertools.chain((False, True) * (states // 2), itertools.repeat(False))
            self.older = lambda kind: kind == "ingest" and next(releases)

            async def replace() -> None:
                for room in list(self._world.running["ingest"]):
                    room.process.kill()

            self._events = [(RELEASE_SECONDS * (number + 1), replace) for number in range(states)]
        self.sample = 1_000 if interferes else 1
        for name, value in more.items():
            setattr(self, name, value)
        self._events += [(20.0 * (number + 1), self.account) for number in range(refusals)]
        self._events.sort(key=lambda pair: pair[0])

    monkeypatch.setattr(fate.Fate, "__init__", lean)
    monkeypatch.setattr(files, "ALTERED", altered)
    monkeypatch.setattr(jobs, "draw", lambda *_, **__: [])  # but where `asking` says otherwise
    draw = files.draw

    def longer(choice: Any, **drawn: Any) -> list[files.File]:
        """Of each seed that has none, a later state of a file, and one of that."""
        found = draw(choice, **drawn)
        while len(found) < states and found[0].rows:
            before = found[-1] if found[-1].before else found[0]
            waits = not drawn["contended"]
            found.append(files.later_of(choice, len(found), before, cancels=drawn["cancels"], waits=waits))
        for file in found:
            file.mode = "mirror" if mirrors and file.before is not None else file.mode
        return found

    monkeypatch.setattr(files, "draw", longer)


def weather(monkeypatch: pytest.MonkeyPatch, **fields: float) -> None:
    """Each seed has these fields of `network.Weather`."""
    draw = fate.Fate._draw_weather

    def drawn(self: fate.Fate) -> network.Weather:
        return dataclasses.replace(draw(self), **fields)

    monkeypatch.setattr(fate.Fate, "_draw_weather", drawn)


def freezing(monkeypatch: pytest.MonkeyPatch, *, times: int = 6) -> None:
    """In each seed processes with something in hand stand still so often, and others take over what they held."""
    made = fate.Fate.__init__

    def standing(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self.line["embedder"] = max(2, self.line["embedder"])
        self._events += [(fate.RAGE_SECONDS * number / times, self.freeze) for number in range(times)]
        self._events.sort(key=lambda pair: pair[0])

    monkeypatch.setattr(fate.Fate, "__init__", standing)


def asking(monkeypatch: pytest.MonkeyPatch, kind: str, **fields: Any) -> None:
    """In each seed jobs of this kind are asked for, with these fields of `jobs.Job`."""

    def drawn(seed: int, made: list[files.File], *, cancels: float) -> list[jobs.Job]:
        found = DRAW(seed, made, cancels=cancels, part=1.1)
        for job in found:
            plain: dict[str, Any] = {"fetch": 0, "sample": 0, "repair": False, "of_load": False, "voided": False}
            for name, value in (plain | {"harm": ""} | fields | {"kind": kind}).items():
                setattr(job, name, value)
        return found

    monkeypatch.setattr(jobs, "draw", drawn)


class Careless:
    """A module, of which some names mean something else."""

    def __init__(self, module: Any, **names: Any) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names[name] if name in self._names else getattr(self._module, name)


class Unchecked(table.Check):
    """A condition of a transaction that is not looked at."""

    def __init__(self, key: str, when: Any) -> None:
        super().__init__(key, ())


def striking(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    *,
    part: float,
    late: float | None = None,
    cancels: bool = False,
) -> None:
    """Strike a process where it hurts: as it enters a method whose first argument is a task's id.

    Args:
        monkeypatch: Takes it away again.
        owner: Of the method.
        method: Its name; a coroutine.
        part: Of the calls.
        late: The call is done so many seconds later, and its caller hears nothing; None: the process dies.
        cancels: The task is cancelled at that moment.
    """
    original = getattr(owner, method)

    async def struck(self: Any, task_id: str, *arguments: Any, **named: Any) -> Any:
        here: Any = journal.Journal.world
        process = loops.CURRENT.get()
        if not here.fate.calm and process.alive and random.random() < part:
            file = here._file_of(task_id)
            if cancels and file is not None and file.task_id:
                file.cancelled_after = file.cancelled_after or 0.0  # it may be: somebody asks for it now
                here.loop.fate.start(people.cancel(here, file))
            if late is None:
                process.kill()
            else:
                process.start(_later(late, original(self, task_id, *arguments, **named)))
            await loops.for_ever()
        return await original(self, task_id, *arguments, **named)

    monkeypatch.setattr(owner, method, struck)


async def _later(seconds: float, call: Awaitable[Any]) -> None:
    await asyncio.sleep(seconds)
    with contextlib.suppress(errors.ServiceError):
        await call


def noticed(collect: Callable[[], None], *words: str) -> bool:
    """Whether some seed has a problem with one of these words; without any: of WRONG."""
    try:
        for seed in range(1, NOTICED_WITHIN):
            problems = world.run(seed).problems
            if seed % 10 == 0:
                collect()
            if any(word in problem for problem in problems for word in words or WRONG):
                return True
        return False
    finally:
        collect()

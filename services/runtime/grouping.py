"""Calls about one item that come while another is under way go together in the next.

So what is small need not one call each: DynamoDB counts the bytes of a whole item whenever it is written. Nothing waits
for company: a call that comes alone goes at once.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclasses.dataclass(eq=False)
class _Call(Generic[Asked, Answer]):
    """One caller's question, and what became of it."""

    asked: Asked
    answer: Answer | Exception | None = None


class _Group(Generic[Asked, Answer]):
    """Callers of one key: one of them runs what waits, the others wait for the lock and find their answer."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: list[_Call[Asked, Answer]] = []
        self.callers = 0


class Groups(Generic[Key, Asked, Answer]):
    """Runs calls of the same key together.

    Args:
        run: Answers several calls of a key, in their order; an answer that is an exception is raised where it was
            asked. It may run again for a call whose caller was cancelled in between, and must bear that.
        most: Calls that it takes at once.
    """

    def __init__(
        self, run: Callable[[Key, Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]], most: int
    ) -> None:
        self._run = run
        self._most = most
        self._groups: dict[Key, _Group[Asked, Answer]] = {}

    async def call(self, key: Key, asked: Asked) -> Answer:
        """Ask, together with whoever asks the same key meanwhile. What is run for it begins after it was asked.

        Raises:
            What the run raises, for each that it was run for.
        """
        group = self._groups.setdefault(key, _Group())
        mine: _Call[Asked, Answer] = _Call(asked)
        group.waiting.append(mine)
        group.callers += 1
        try:
            async with group.lock:
                while mine.answer is None:
                    await self._run_next(key, group)
        finally:
            group.callers -= 1
            if mine in group.waiting:  # cancelled before it was run
                group.waiting.remove(mine)
            if not group.callers:
                del self._groups[key]
        if isinstance(mine.answer, Exception):
            raise mine.answer
        return mine.answer

    async def _run_next(self, key: Key, group: _Group[Asked, Answer]) -> None:
        calls = group.waiting[: self._most]
        del group.waiting[: self._most]
        try:
            answers = await self._run(key, [call.asked for call in calls])
        except Exception as error:  # each of the callers raises it
            answers = [error] * len(calls)
        except BaseException:
            group.waiting[:0] = calls  # this caller is cancelled, not the others: the next of them runs it anew
            raise
        for call, answer in zip(calls, answers, strict=True):
            call.answer = answer

"""Calls about one item that come while another is under way go together in the next.

So what is small need not one call each: DynamoDB counts the bytes of a whole item whenever it is written. Nothing waits
for company: a call that comes alone goes at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Call(Generic[Asked, Answer]):
    """One caller's question, and what became of it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Answer | Exception | None = None
        # It has its answer, or may have to run what waits.
        self.news = asyncio.Event()
        # Its caller waits no more.
        self.left = False


class _Group(Generic[Asked, Answer]):
    """Callers of one key: one of them runs what waits, itself among it; the others wait for news."""

    def __init__(self) -> None:
        self.waiting: list[_Call[Asked, Answer]] = []
        self.running = False


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
        try:
            while mine.answer is None:
                if group.running:
                    await mine.news.wait()
                    mine.news.clear()
                else:
                    await self._run_next(key, group)
        finally:
            mine.left = True
            if mine in group.waiting:  # cancelled before it was run
                group.waiting.remove(mine)
            self._go_on(key, group)
        if isinstance(mine.answer, Exception):
            raise mine.answer
        return mine.answer

    async def _run_next(self, key: Key, group: _Group[Asked, Answer]) -> None:
        group.running = True
        try:
            await asyncio.sleep(0)  # who asks in this turn of the event loop goes along
            calls = group.waiting[: self._most]
            del group.waiting[: self._most]
            try:
                answers = await self._run(key, [call.asked for call in calls])
            except Exception as error:  # each of the callers raises it
                answers = [error] * len(calls)
            except BaseException:
                # This caller is cancelled, not the others: the next of them runs it anew.
                group.waiting[:0] = [call for call in calls if not call.left]
                raise
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
                call.news.set()
        finally:
            group.running = False

    def _go_on(self, key: Key, group: _Group[Asked, Answer]) -> None:
        """Somebody leaves: where nobody runs what waits, the next one is to."""
        if group.running:
            return
        if group.waiting:
            group.waiting[0].news.set()
        elif self._groups.get(key) is group:
            del self._groups[key]

"""An event loop whose clock jumps to the next timer when nothing is ready: hours pass in milliseconds.

Work given to threads is done in place, so that time never jumps past it. No real input or output: for fakes only.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Instead of waiting, lets the time pass."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("Everybody waits, and nothing will ever happen.")
        self.passed += max(timeout, 0.0)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """The loop; time() begins at 1,000."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1_000.0 + self._jumping.passed

    def stand_still(self, seconds: float) -> None:
        """The process is stopped for so long, here and now."""
        self._jumping.passed += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(work: Coroutine[Any, Any, T], seconds: float = 7 * 24 * 3600) -> T:
    """Run in virtual time; a test that would take longer than `seconds` of it hangs and fails."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(bounded())

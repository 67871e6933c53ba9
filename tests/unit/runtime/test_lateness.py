"""A loop that is kept from its work shows so, and recovers."""

import asyncio
import time
from collections.abc import Callable

from services.runtime import lateness


async def until(condition: Callable[[], bool], busy_seconds: float) -> None:
    async with asyncio.timeout(60):
        while not condition():
            time.sleep(busy_seconds)  # noqa: ASYNC251 (this is what keeps the loop)
            await asyncio.sleep(0.001)


async def test_a_busy_loop_is_late_and_an_idle_one_no_longer() -> None:
    late = lateness.Lateness(lateness.OFTEN_SECONDS)
    measuring = asyncio.create_task(late.run())
    try:
        await until(lambda: late.seconds > 0.04, busy_seconds=0.1)
        # Not near nothing: other tests may keep the processors busy.
        await until(lambda: late.seconds < 0.02, busy_seconds=0.0)
    finally:
        measuring.cancel()

"""The breaker opens after failures in a row, ever longer, and closes with the first success."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import structlog

from services.runtime import background, breaker
from tests.support import virtual_time


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _passes_after(subject: breaker.Breaker) -> float:
    began = _now()
    await subject.passage()
    return round(_now() - began, 3)


def test_it_opens_after_five_failures_in_a_row_and_ever_longer() -> None:
    async def work() -> None:
        subject = breaker.Breaker("x", _now)
        for _ in range(breaker.FAILURES_TO_OPEN - 1):
            subject.fail()
            assert not subject.open
        waits = []
        for _ in range(8):
            subject.fail()
            assert subject.open
            waits.append(await _passes_after(subject))
        assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
        subject.succeed()
        assert not subject.open
        assert await _passes_after(subject) == 0

    virtual_time.run(work())


def test_calls_that_fail_together_are_one_sign() -> None:
    async def work() -> None:
        subject = breaker.Breaker("x", _now)
        for _ in range(50):
            subject.fail()
        assert await _passes_after(subject) == 1
        subject.fail()
        assert await _passes_after(subject) == 2

    virtual_time.run(work())


def test_a_success_in_between_keeps_it_closed() -> None:
    async def work() -> None:
        subject = breaker.Breaker("x", _now)
        for _ in range(100):
            for _ in range(breaker.FAILURES_TO_OPEN - 1):
                subject.fail()
            subject.succeed()
        assert not subject.open

    virtual_time.run(work())


def test_a_loop_that_fails_is_said_and_begun_again() -> None:
    async def work() -> list[MutableMapping[str, Any]]:
        rounds = 0

        async def loop() -> None:
            nonlocal rounds
            while True:
                rounds += 1
                if rounds in {2, 5}:
                    raise ZeroDivisionError
                await asyncio.sleep(10)

        with structlog.testing.capture_logs() as lines:
            async with background.running("rounds", loop) as task:
                await asyncio.sleep(100)
                assert rounds >= 9
            assert task.done()
        return lines

    lines = virtual_time.run(work())
    assert [each["loop"] for each in lines if each["action"] == "loop_failed"] == ["rounds", "rounds"]


def test_what_failed_is_told_until_it_answers_or_is_no_news() -> None:
    async def work() -> None:
        subject = breaker.Breaker("x", _now)
        subject.fail("It answers HTTP 503.")
        assert subject.why == "It answers HTTP 503."
        await asyncio.sleep(breaker.NEWS_SECONDS + 1)
        assert subject.why == ""
        subject.fail("It cannot be reached.")
        assert subject.why == "It cannot be reached."
        subject.succeed()
        assert subject.why == ""

    virtual_time.run(work())

"""What somebody waits for is embedded at once or refused soon, in words that say why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.embedder.buying import interactive
from services.embedder.limiter import permits
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.limiter.promise import Quota
from services.embedder.openai import errors as openai_errors
from services.runtime import errors
from tests.support import embeddings, virtual_time


class Desk:
    def __init__(self, rate: float) -> None:
        self.source = embeddings.FakeEmbeddings()
        self.limiter = MemoryLimiter(Quota(rate, 0, 300_000))
        self.permits = permits.Permits(self.limiter)
        self.interactive = interactive.Interactive(self.source, self.permits, self.limiter)


@contextlib.asynccontextmanager
async def opened(rate: float = 0.0) -> AsyncIterator[Desk]:
    desk = Desk(rate)
    running = asyncio.create_task(desk.permits.run())
    try:
        yield desk
    finally:
        running.cancel()


def test_texts_are_embedded_with_their_exact_cost() -> None:
    async def work() -> None:
        async with opened() as desk:
            vectors, cost = await desk.interactive.embed(["hello world", "bye"])
            assert vectors == [embeddings.vector("hello world"), embeddings.vector("bye")]
            assert cost == 3

    virtual_time.run(work())


def test_every_bad_text_is_named_at_once() -> None:
    async def work() -> None:
        async with opened() as desk:
            with pytest.raises(errors.InvalidArgument) as caught:
                await desk.interactive.embed(["good", " ", "word " * 9_000, "x" * 2_000_000])
            assert [each.field for each in caught.value.violations] == ["texts[1]", "texts[2]", "texts[3]"]
            for wrong in ([], ["a"] * 2_049):
                with pytest.raises(errors.InvalidArgument):
                    await desk.interactive.embed(wrong)
            with pytest.raises(errors.InvalidArgument) as caught:
                await desk.interactive.embed(["word " * 8_000] * 40)
            assert [each.field for each in caught.value.violations] == ["texts"]
            assert not desk.source.requests

    virtual_time.run(work())


def test_without_valkey_it_fails_within_its_deadline_and_says_why() -> None:
    async def work() -> None:
        async with opened() as desk:
            desk.limiter.down = True
            began = asyncio.get_running_loop().time()
            with pytest.raises(errors.Unavailable, match="Valkey does not answer") as caught:
                await desk.interactive.embed(["hello"])
            assert caught.value.reason == "LIMITER_UNAVAILABLE"
            assert asyncio.get_running_loop().time() - began <= interactive.DEADLINE_SECONDS + 0.1
            assert not desk.source.requests
            desk.limiter.down = False
            await desk.interactive.embed(["hello"])

    virtual_time.run(work())


def test_a_refused_account_is_said_and_shared() -> None:
    async def work() -> None:
        async with opened() as desk:
            desk.source.refusal = openai_errors.AccountRefused("no money")
            for _ in range(2):
                with pytest.raises(errors.Unavailable) as caught:
                    await desk.interactive.embed(["hello"])
                assert caught.value.reason == "ACCOUNT_REFUSED"
            assert len(desk.source.requests) == 1
            assert await desk.limiter.blocked() == "no money"

    virtual_time.run(work())


def test_a_failure_is_tried_again_and_an_outage_given_up() -> None:
    async def work() -> None:
        async with opened() as desk:
            desk.source.script = [openai_errors.Failed("HTTP 500"), openai_errors.Throttled(2, tokens_exceeded=False)]
            await desk.interactive.embed(["hello"])
            desk.source.refusal = openai_errors.Failed("HTTP 500")
            with pytest.raises(errors.Unavailable):
                await desk.interactive.embed(["hello"])
            assert len(desk.source.requests) == 6

    virtual_time.run(work())


def test_a_refused_text_is_the_callers_to_change() -> None:
    async def work() -> None:
        async with opened() as desk:
            desk.source.bad_texts = {"hello"}
            with pytest.raises(errors.InvalidArgument):
                await desk.interactive.embed(["hello"])

    virtual_time.run(work())


def test_a_long_pause_is_not_waited_out_and_who_comes_meanwhile_is_refused_at_once() -> None:
    async def work() -> None:
        async with opened(rate=5.0) as desk:
            await desk.limiter.pause(120, tokens_exceeded=False)
            loop = asyncio.get_running_loop()
            began = loop.time()
            first = asyncio.create_task(desk.interactive.embed(["hello"]))
            await asyncio.sleep(1)
            with pytest.raises(errors.ResourceExhausted) as caught:
                await desk.interactive.embed(["hello"])
            assert loop.time() - began < 1.1
            assert caught.value.retry_seconds == 60
            with pytest.raises(errors.ResourceExhausted, match="retry-after") as caught:
                await first
            assert caught.value.reason == "SEARCHES_OVER_QUOTA"
            assert loop.time() - began <= interactive.WAIT_SECONDS + 0.1
            assert not desk.source.requests

    virtual_time.run(work())

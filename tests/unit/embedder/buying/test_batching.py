"""Buying: every text is delivered once, requests are filled in order, nothing void is bought, retries pay anew."""

import asyncio
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from services.embedder.buying import packing, proof
from services.embedder.buying.pending_batch import Dropped, PendingBatch, Reason
from services.embedder.limiter import permits
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from tests.support import embeddings, virtual_time
from tests.support.buying import assert_delivered, complete, opened


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    inputs=st.integers(1, 20),
    rate=st.sampled_from([0.0, 5.0]),
    # An answer without embeddings, and then as many to the harmless text: that would be the account's.
    failures=st.lists(st.sampled_from(["failed", "invalid", "throttled"]), max_size=6).filter(
        lambda drawn: drawn.count("invalid") <= proof.PROBES
    ),
    bad=st.sets(st.integers(0, 60), max_size=4),
)
def test_every_text_is_delivered_exactly_once(
    sizes: list[int], inputs: int, rate: float, failures: list[str], bad: set[int]
) -> None:
    async def work() -> None:
        kinds: dict[str, Exception] = {
            "failed": openai_errors.Failed("HTTP 500"),
            "invalid": openai_errors.Invalid("no answer"),
            "throttled": openai_errors.Throttled(1.0, tokens_exceeded=False),
        }
        source = embeddings.FakeEmbeddings()
        source.script = [kinds[each] for each in failures]
        async with opened(source, rate=rate, pack=packing.RequestSize(inputs, 1_000)) as buying:
            names = iter(range(10_000))
            batches = [buying.batch([f"text {next(names)}" for _ in range(size)]) for size in sizes]
            source.bad_texts = {f"text {number}" for number in bad}
            await complete(*batches)
            every = [text for batch in batches for text in batch.texts]
            assert sorted(each for each in source.bought if each != openai_client.PROBE_TEXT) == sorted(
                text for text in every if text not in source.bad_texts
            )
            for batch in batches:
                assert_delivered(batch)
                assert {batch.texts[index] for index in batch.refusals} == source.bad_texts & set(batch.texts)

    virtual_time.run(work())


def test_requests_are_filled_across_chunks_at_a_request_rate() -> None:
    async def work() -> None:
        async with opened(rate=5.0, pack=packing.RequestSize(2_048, 300_000)) as buying:
            await buying.limiter.touch()
            batches = []

            async def feed() -> None:
                for chunk in range(40):  # as chunks come out of the decoder, one after the other
                    buying.batcher.expect(more=chunk < 39)
                    with buying.batcher.arriving():
                        await asyncio.sleep(0.03)
                        batches.append(buying.batch([f"{chunk} {row}" for row in range(1_000)]))

            await feed()
            await complete(*batches)
            sizes = [len(texts) for _, texts in buying.source.requests]
            assert len(sizes) == 20  # 40,000 / 2,048 = 19.5
            assert sizes[:-1] == [2_048] * 19
            starts = [at for at, _ in buying.source.requests]
            assert starts[-1] - starts[0] <= 19 / 5 * 1.02

    virtual_time.run(work())


def test_a_request_waits_for_more_while_chunks_keep_coming() -> None:
    """Nobody said that they would: while a file begins to be split, each take finds the queue empty."""

    async def work() -> None:
        async with opened(rate=5.0, pack=packing.RequestSize(500, 300_000)) as buying:
            await buying.limiter.touch()
            await asyncio.sleep(3)
            batches = []
            for chunk in range(22):  # the last two fill no request
                batches.append(buying.batch([f"{chunk} {row}" for row in range(100)]))
                await asyncio.sleep(0.04)
            await complete(*batches)
            assert [len(texts) for _, texts in buying.source.requests] == [500] * 4 + [200]

    virtual_time.run(work())


def test_a_request_does_not_wait_for_ever_while_chunks_keep_coming() -> None:
    async def work() -> None:
        async with opened(rate=5.0) as buying:
            await buying.limiter.touch()
            await asyncio.sleep(3)
            began = asyncio.get_running_loop().time()
            batches = []
            for chunk in range(20):
                batches.append(buying.batch([str(chunk)]))
                await asyncio.sleep(0.05)
            await complete(*batches)
            assert buying.source.requests[0][0] - began <= 0.3

    virtual_time.run(work())


def test_a_tasks_first_chunks_are_bought_before_what_waits_of_others() -> None:
    async def work() -> None:
        async with opened(rate=1.0, pack=packing.RequestSize(1_000, 300_000)) as buying:
            bulk = [buying.batch([f"bulk {chunk} {row}" for row in range(1_000)]) for chunk in range(6)]
            small = [buying.batch([f"small {chunk} {row}" for row in range(500)], first=True) for chunk in range(2)]
            await complete(*small)
            assert [batch for batch in bulk if batch.finished] == []
            await complete(*bulk)
            assert buying.source.bought[:1_000] == [text for batch in small for text in batch.texts]

    virtual_time.run(work())


def test_an_order_that_a_request_cut_goes_on_behind_a_first_one() -> None:
    async def work() -> None:
        async with opened(rate=1.0, pack=packing.RequestSize(60, 300_000)) as buying:
            bulk = buying.batch([f"bulk {row}" for row in range(100)])
            await bulk.change()
            small = buying.batch(["small"], first=True)
            await complete(small, bulk)
            assert buying.source.bought[60] == "small"
            assert_delivered(bulk)

    virtual_time.run(work())


def test_a_small_order_alone_does_not_wait_long() -> None:
    async def work() -> None:
        for rate in (0.0, 5.0):
            async with opened(rate=rate) as buying:
                await buying.limiter.touch()
                await asyncio.sleep(3)
                began = asyncio.get_running_loop().time()
                batch = buying.batch(["alone"])
                await complete(batch)
                assert asyncio.get_running_loop().time() - began <= buying.source.seconds + 0.2

    virtual_time.run(work())


def test_a_dropped_order_is_not_bought() -> None:
    async def work() -> None:
        async with opened(rate=1.0) as buying:
            batch, other = buying.batch(["unwanted"]), buying.batch(["wanted"])
            batch.drop(Reason.VOID, "cancelled")
            buying.batcher.withdraw(batch)
            await complete(other)
            assert buying.source.bought == ["wanted"]

    virtual_time.run(work())


def test_a_stale_gate_is_not_bought_and_blocks_nobody() -> None:
    async def work() -> None:
        async with opened() as buying:
            stale, other = buying.batch(["stale"], gate=False), buying.batch(["fresh"])
            await complete(other)
            await asyncio.sleep(3_600)
            assert buying.source.bought == ["fresh"]
            buying.open(stale)
            await complete(stale)

    virtual_time.run(work())


def test_waiting_for_the_gate_costs_next_to_nothing() -> None:
    async def work() -> None:
        async with opened(rate=5.0) as buying:
            asked = 0
            original = buying.batcher._cost

            def counted() -> int | None:
                nonlocal asked
                asked += 1
                return original()

            buying.batcher._cost = counted  # type: ignore[method-assign]
            batch = buying.batch(["waits"], gate=False)
            await asyncio.sleep(60)
            assert asked <= 60 / permits.IDLE_SECONDS * 1.1
            buying.batcher.withdraw(batch)
            await asyncio.sleep(1)
            asked = 0
            await asyncio.sleep(600)
            assert asked == 0, "an empty line asks nothing"

    virtual_time.run(work())


def test_a_retry_waits_for_a_fresh_gate_and_takes_a_new_permit() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Failed("HTTP 503", 5.0)]
        async with opened(source, rate=5.0) as buying:
            batch = buying.batch(["once"])
            while not source.requests:
                await asyncio.sleep(0.1)
            buying.close(batch)
            await asyncio.sleep(120)
            assert len(source.requests) == 1, "its gate is not fresh: no second try"
            other = buying.batch(["other"])
            await complete(other)  # the one that waits for its gate blocks nobody
            asked: list[int] = []
            acquire = buying.limiter.acquire

            async def counted(tokens: int, *given: Any) -> Any:
                asked.append(tokens)
                return await acquire(tokens, *given)

            buying.limiter.acquire = counted  # type: ignore[method-assign]
            buying.open(batch)
            await complete(batch)
            assert asked, "a retry asks for a permit of its own"
            assert source.bought == ["other", "once"]

    virtual_time.run(work())


def test_an_order_dropped_in_mid_retry_is_not_tried_again() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Failed("HTTP 503", 5.0)] * 3  # not before 5 s: the jitter alone may be short
        async with opened(source) as buying:
            batch = buying.batch(["unwanted"])
            await asyncio.sleep(0.15)
            batch.drop(Reason.VOID, "cancelled")
            await asyncio.sleep(600)
            assert len(source.requests) == 1
            assert not buying.batcher._requests, "its slot is free again"

    virtual_time.run(work())


def test_an_order_waits_for_its_admission_and_says_so() -> None:
    async def work() -> None:
        told = 0

        def progress() -> None:
            nonlocal told
            told += 1

        batch = PendingBatch(["a"], [1], progress)
        waiting = asyncio.create_task(batch.admission())
        await asyncio.sleep(100)
        assert told >= 40, "waiting for the gate is progress"
        batch.drop(Reason.VOID, "cancelled")
        with pytest.raises(Dropped):
            await waiting

    virtual_time.run(work())

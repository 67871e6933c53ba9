"""What goes wrong with a request: 429s, refusals, outages, defects. No text is lost or blamed for another."""

import asyncio

from services.embedder.buying import packing, pending_batch
from services.embedder.buying.pending_batch import Reason
from services.embedder.openai import errors as openai_errors
from tests.support import embeddings, virtual_time
from tests.support.buying import assert_delivered, complete, opened


def test_a_429_pauses_everybody_and_loses_nothing() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Throttled(20.0, tokens_exceeded=False)]
        async with opened(source, rate=5.0) as buying:
            first, second = buying.batch(["first"]), None
            await asyncio.sleep(4)
            second = buying.batch(["second"])
            await complete(first, second)
            throttled_at = source.requests[0][0] + source.seconds
            assert all(at >= throttled_at + 20 - 1e-6 for at, _ in source.requests[1:])
            assert sorted(source.bought) == ["first", "second"]

    virtual_time.run(work())


def test_a_429_on_the_question_whether_any_text_is_taken_pauses_everybody_too() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Refused("No."), openai_errors.Throttled(20.0, tokens_exceeded=False)]
        async with opened(source, rate=5.0) as buying:
            await complete(buying.batch(["one"]))
            asked_at = source.requests[1][0]
            assert all(at >= asked_at + source.seconds + 20 - 1e-6 for at, _ in source.requests[2:])
            assert source.bought == ["one"]

    virtual_time.run(work())


def test_bisecting_pins_a_refusal_on_its_text() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source, rate=50.0) as buying:
            batch = buying.batch([f"text {number}" for number in range(200)])
            source.bad_texts = {"text 0", "text 77", "text 199"}
            await complete(batch)
            assert {batch.texts[index] for index in batch.refusals} == source.bad_texts
            assert_delivered(batch)
            assert {each.reason for each in batch.refusals.values()} == {pending_batch.REFUSED}

    virtual_time.run(work())


def test_a_refusal_of_everything_concerns_the_configuration_and_fails_no_row() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.Refused("This model cannot do that.")
        async with opened(source) as buying:
            batch = buying.batch(["one", "two", "three"])
            await complete(batch)
            assert not batch.refusals
            assert batch.dropped is not None
            assert batch.dropped.reason is Reason.ACCOUNT_REFUSED
            assert "cannot do that" in await buying.limiter.blocked()

    virtual_time.run(work())


def test_an_account_refusal_drops_everybody_after_one_call() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.AccountRefused("no money left")
        async with opened(source, pack=packing.RequestSize(1, 100), in_flight=1) as buying:
            batches = [buying.batch([f"text {number}"]) for number in range(10)]
            await complete(*batches)
            assert len(source.requests) == 1
            assert all("no money" in str(batch.dropped) for batch in batches)
            later = buying.batch(["later"])
            await complete(later)
            assert "no money" in str(later.dropped)
            assert len(source.requests) == 1, "the block is shared: nobody asks again"
            source.refusal = None
            await buying.limiter.unblock()
            again = buying.batch(["again"])
            await complete(again)
            assert_delivered(again)

    virtual_time.run(work())


def test_finding_a_block_does_not_renew_it() -> None:
    async def work() -> None:
        async with opened() as buying:
            await buying.limiter.block("no money")
            blocked = buying.limiter.blocked

            async def unblocked_meanwhile() -> str:
                await buying.limiter.unblock()
                return await blocked()

            buying.limiter.blocked = unblocked_meanwhile  # type: ignore[method-assign]
            await complete(buying.batch(["unlucky"]))
            assert await blocked() == ""

    virtual_time.run(work())


def test_a_defect_drops_the_orders_it_concerns() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [ZeroDivisionError("a defect")]
        async with opened(source) as buying:
            batch = buying.batch(["text"])
            await complete(batch)
            assert batch.dropped is not None
            assert batch.dropped.reason is Reason.DEFECT
            assert isinstance(batch.dropped.__cause__, ZeroDivisionError)
            other = buying.batch(["other"])
            await complete(other)
            assert_delivered(other)

    virtual_time.run(work())


def test_what_comes_for_a_dropped_order_in_flight_harms_nobody() -> None:
    async def work() -> None:
        async with opened(pack=packing.RequestSize(10, 100)) as buying:
            batch, other = buying.batch(["a"] * 1), buying.batch(["b"])
            await asyncio.sleep(0.07)
            assert buying.source.under_way == 1
            batch.drop(Reason.VOID, "cancelled")
            await complete(other)
            assert_delivered(other)

    virtual_time.run(work())


def test_an_outage_never_fails_a_text_and_does_not_burn_requests() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.Failed("connection refused")
        async with opened(source) as buying:
            batches = [buying.batch([f"text {number}"]) for number in range(8)]
            await asyncio.sleep(600)
            assert len(source.requests) <= 40, "the circuit is open most of the time"
            source.refusal = None
            await complete(*batches, seconds=60)

    virtual_time.run(work())


def test_without_the_limiter_nothing_is_bought_and_then_it_goes_on() -> None:
    async def work() -> None:
        async with opened() as buying:
            buying.limiter.down = True
            batch = buying.batch(["text"])
            await asyncio.sleep(60)
            assert not buying.source.requests
            assert buying.permits.limiter_down
            assert "Valkey does not answer" in buying.batcher.why()
            buying.limiter.down = False
            await complete(batch, seconds=2)

    virtual_time.run(work())

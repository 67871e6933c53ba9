"""Buying: every text is delivered once, nothing void is bought, retries pay for a new permit, refusals are pinned."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from services.embedder import openai_client, openai_errors, packing, permits, purchasing
from services.embedder.limiter import Limits
from services.embedder.memory_limiter import MemoryLimiter
from services.embedder.order import Dropped, Order
from tests.support import embeddings, virtual_time


class Shop:
    """Purchasing over fakes."""

    def __init__(
        self,
        source: embeddings.FakeEmbeddings,
        *,
        rate: float = 0.0,
        pack: packing.Limits | None = None,
        in_flight: int = 8,
    ) -> None:
        self.source = source
        self.limiter = MemoryLimiter(Limits(rate, 0, 300_000))
        self.permits = permits.Permits(self.limiter)
        self.purchases = purchasing.Purchasing(
            source,
            self.permits,
            self.limiter,
            pack or packing.Limits(),
            requests_in_flight=in_flight,
            request_limited=rate > 0,
        )
        self.guards: dict[Order, asyncio.Task[None]] = {}

    def order(self, texts: list[str], *, gate: bool = True, first: bool = False) -> Order:
        """An order in the line, its gate kept fresh as a worker does."""
        order = Order(texts, [1] * len(texts), lambda: None, first=first)
        if gate:
            self.open(order)
        self.purchases.place(order)
        return order

    def open(self, order: Order) -> None:
        async def keep() -> None:
            while True:
                order.admit(asyncio.get_running_loop().time())
                await asyncio.sleep(1.0)

        order.admit(asyncio.get_running_loop().time())
        self.guards[order] = asyncio.create_task(keep())

    def close(self, order: Order) -> None:
        self.guards.pop(order).cancel()


@contextlib.asynccontextmanager
async def opened(source: embeddings.FakeEmbeddings | None = None, **options: Any) -> AsyncIterator[Shop]:
    shop = Shop(source or embeddings.FakeEmbeddings(), **options)
    loops = [asyncio.create_task(shop.permits.run()), asyncio.create_task(shop.purchases.run())]
    try:
        yield shop
    finally:
        tasks = [*loops, *shop.guards.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def complete(*orders: Order, seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        for order in orders:
            while not order.finished and order.dropped is None:
                await order.change()


def assert_delivered(order: Order) -> None:
    for index, text in enumerate(order.texts):
        if index not in order.refusals:
            assert order.vectors[index] == embeddings.vector(text)


def scenario(work: Coroutine[Any, Any, None]) -> None:
    virtual_time.run(work)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    inputs=st.integers(1, 20),
    rate=st.sampled_from([0.0, 5.0]),
    failures=st.lists(st.sampled_from(["failed", "invalid", "throttled"]), max_size=6),
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
        async with opened(source, rate=rate, pack=packing.Limits(inputs, 1_000)) as shop:
            names = iter(range(10_000))
            orders = [shop.order([f"text {next(names)}" for _ in range(size)]) for size in sizes]
            source.bad_texts = {f"text {number}" for number in bad}
            await complete(*orders)
            every = [text for order in orders for text in order.texts]
            assert sorted(each for each in source.bought if each != openai_client.PROBE_TEXT) == sorted(
                text for text in every if text not in source.bad_texts
            )
            for order in orders:
                assert_delivered(order)
                assert {order.texts[index] for index in order.refusals} == source.bad_texts & set(order.texts)

    scenario(work())


def test_requests_are_filled_across_chunks_at_a_request_rate() -> None:
    async def work() -> None:
        async with opened(rate=5.0, pack=packing.Limits(2_048, 300_000)) as shop:
            await shop.limiter.touch()
            orders = []

            async def feed() -> None:
                for chunk in range(40):  # as chunks come out of the decoder, one after the other
                    shop.purchases.expect(more=chunk < 39)
                    with shop.purchases.arriving():
                        await asyncio.sleep(0.03)
                        orders.append(shop.order([f"{chunk} {row}" for row in range(1_000)]))

            await feed()
            await complete(*orders)
            sizes = [len(texts) for _, texts in shop.source.requests]
            assert len(sizes) == 20  # 40,000 / 2,048 = 19.5
            assert sizes[:-1] == [2_048] * 19
            starts = [at for at, _ in shop.source.requests]
            assert starts[-1] - starts[0] <= 19 / 5 * 1.02

    scenario(work())


def test_a_tasks_first_chunks_are_bought_before_what_waits_of_others() -> None:
    async def work() -> None:
        async with opened(rate=1.0, pack=packing.Limits(1_000, 300_000)) as shop:
            bulk = [shop.order([f"bulk {chunk} {row}" for row in range(1_000)]) for chunk in range(6)]
            small = [shop.order([f"small {chunk} {row}" for row in range(500)], first=True) for chunk in range(2)]
            await complete(*small)
            assert [order for order in bulk if order.finished] == []
            await complete(*bulk)
            assert shop.source.bought[:1_000] == [text for order in small for text in order.texts]

    scenario(work())


def test_an_order_that_a_request_cut_goes_on_behind_a_first_one() -> None:
    async def work() -> None:
        async with opened(rate=1.0, pack=packing.Limits(60, 300_000)) as shop:
            bulk = shop.order([f"bulk {row}" for row in range(100)])
            await bulk.change()
            small = shop.order(["small"], first=True)
            await complete(small, bulk)
            assert shop.source.bought[60] == "small"
            assert_delivered(bulk)

    scenario(work())


def test_a_small_order_alone_does_not_wait_long() -> None:
    async def work() -> None:
        for rate in (0.0, 5.0):
            async with opened(rate=rate) as shop:
                await shop.limiter.touch()
                await asyncio.sleep(3)
                began = asyncio.get_running_loop().time()
                order = shop.order(["alone"])
                await complete(order)
                assert asyncio.get_running_loop().time() - began <= shop.source.seconds + 0.2

    scenario(work())


def test_a_dropped_order_is_not_bought() -> None:
    async def work() -> None:
        async with opened(rate=1.0) as shop:
            order, other = shop.order(["unwanted"]), shop.order(["wanted"])
            order.drop(RuntimeError("cancelled"))
            shop.purchases.withdraw(order)
            await complete(other)
            assert shop.source.bought == ["wanted"]

    scenario(work())


def test_a_stale_gate_is_not_bought_and_blocks_nobody() -> None:
    async def work() -> None:
        async with opened() as shop:
            stale, other = shop.order(["stale"], gate=False), shop.order(["fresh"])
            await complete(other)
            await asyncio.sleep(3_600)
            assert shop.source.bought == ["fresh"]
            shop.open(stale)
            await complete(stale)

    scenario(work())


def test_waiting_for_the_gate_costs_next_to_nothing() -> None:
    async def work() -> None:
        async with opened(rate=5.0) as shop:
            asked = 0
            original = shop.purchases._cost

            def counted() -> int | None:
                nonlocal asked
                asked += 1
                return original()

            shop.purchases._cost = counted  # type: ignore[method-assign]
            order = shop.order(["waits"], gate=False)
            await asyncio.sleep(60)
            assert asked <= 60 / permits.IDLE_SECONDS * 1.1
            shop.purchases.withdraw(order)
            await asyncio.sleep(1)
            asked = 0
            await asyncio.sleep(600)
            assert asked == 0, "an empty line asks nothing"

    scenario(work())


def test_a_retry_waits_for_a_fresh_gate_and_takes_a_new_permit() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Failed("HTTP 503", 5.0)]
        async with opened(source, rate=5.0) as shop:
            order = shop.order(["once"])
            while not source.requests:
                await asyncio.sleep(0.1)
            shop.close(order)
            await asyncio.sleep(120)
            assert len(source.requests) == 1, "its gate is not fresh: no second try"
            other = shop.order(["other"])
            await complete(other)  # the one that waits for its gate blocks nobody
            asked: list[int] = []
            acquire = shop.limiter.acquire

            async def counted(tokens: int, *given: Any) -> Any:
                asked.append(tokens)
                return await acquire(tokens, *given)

            shop.limiter.acquire = counted  # type: ignore[method-assign]
            shop.open(order)
            await complete(order)
            assert asked, "a retry asks for a permit of its own"
            assert source.bought == ["other", "once"]

    scenario(work())


def test_an_order_dropped_in_mid_retry_is_not_tried_again() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Failed("HTTP 503", 5.0)] * 3  # not before 5 s: the jitter alone may be short
        async with opened(source) as shop:
            order = shop.order(["unwanted"])
            await asyncio.sleep(0.15)
            order.drop(RuntimeError("cancelled"))
            await asyncio.sleep(600)
            assert len(source.requests) == 1
            assert not shop.purchases._requests, "its slot is free again"

    scenario(work())


def test_a_429_pauses_everybody_and_loses_nothing() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Throttled(20.0, tokens_exceeded=False)]
        async with opened(source, rate=5.0) as shop:
            first, second = shop.order(["first"]), None
            await asyncio.sleep(4)
            second = shop.order(["second"])
            await complete(first, second)
            throttled_at = source.requests[0][0] + source.seconds
            assert all(at >= throttled_at + 20 - 1e-6 for at, _ in source.requests[1:])
            assert sorted(source.bought) == ["first", "second"]

    scenario(work())


def test_a_429_on_the_question_whether_any_text_is_taken_pauses_everybody_too() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Refused("No."), openai_errors.Throttled(20.0, tokens_exceeded=False)]
        async with opened(source, rate=5.0) as shop:
            await complete(shop.order(["one"]))
            asked_at = source.requests[1][0]
            assert all(at >= asked_at + source.seconds + 20 - 1e-6 for at, _ in source.requests[2:])
            assert source.bought == ["one"]

    scenario(work())


def test_bisecting_pins_a_refusal_on_its_text() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source, rate=50.0) as shop:
            order = shop.order([f"text {number}" for number in range(200)])
            source.bad_texts = {"text 0", "text 77", "text 199"}
            await complete(order)
            assert {order.texts[index] for index in order.refusals} == source.bad_texts
            assert_delivered(order)
            assert all(order.refusals[index] for index in order.refusals)

    scenario(work())


def test_a_refusal_of_everything_concerns_the_configuration_and_fails_no_row() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.Refused("This model cannot do that.")
        async with opened(source) as shop:
            order = shop.order(["one", "two", "three"])
            await complete(order)
            assert not order.refusals
            assert isinstance(order.dropped, openai_errors.AccountRefused)
            assert "cannot do that" in await shop.limiter.blocked()

    scenario(work())


def test_an_account_refusal_drops_everybody_after_one_call() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.AccountRefused("no money left")
        async with opened(source, pack=packing.Limits(1, 100), in_flight=1) as shop:
            orders = [shop.order([f"text {number}"]) for number in range(10)]
            await complete(*orders)
            assert len(source.requests) == 1
            assert all("no money" in str(order.dropped) for order in orders)
            later = shop.order(["later"])
            await complete(later)
            assert "no money" in str(later.dropped)
            assert len(source.requests) == 1, "the block is shared: nobody asks again"
            source.refusal = None
            await shop.limiter.unblock()
            again = shop.order(["again"])
            await complete(again)
            assert_delivered(again)

    scenario(work())


def test_finding_a_block_does_not_renew_it() -> None:
    async def work() -> None:
        async with opened() as shop:
            await shop.limiter.block("no money")
            blocked = shop.limiter.blocked

            async def unblocked_meanwhile() -> str:
                await shop.limiter.unblock()
                return await blocked()

            shop.limiter.blocked = unblocked_meanwhile  # type: ignore[method-assign]
            await complete(shop.order(["unlucky"]))
            assert await blocked() == ""

    scenario(work())


def test_a_defect_drops_the_orders_it_concerns() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [ZeroDivisionError("a defect")]
        async with opened(source) as shop:
            order = shop.order(["text"])
            await complete(order)
            assert isinstance(order.dropped, ZeroDivisionError)
            other = shop.order(["other"])
            await complete(other)
            assert_delivered(other)

    scenario(work())


def test_what_comes_for_a_dropped_order_in_flight_harms_nobody() -> None:
    async def work() -> None:
        async with opened(pack=packing.Limits(10, 100)) as shop:
            order, other = shop.order(["a"] * 1), shop.order(["b"])
            await asyncio.sleep(0.07)
            assert shop.source.under_way == 1
            order.drop(RuntimeError("cancelled"))
            await complete(other)
            assert_delivered(other)

    scenario(work())


def test_an_outage_never_fails_a_text_and_does_not_burn_requests() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.Failed("connection refused")
        async with opened(source) as shop:
            orders = [shop.order([f"text {number}"]) for number in range(8)]
            await asyncio.sleep(600)
            assert len(source.requests) <= 8 * 600 / 10
            source.refusal = None
            await complete(*orders, seconds=60)

    scenario(work())


def test_without_the_limiter_nothing_is_bought_and_then_it_goes_on() -> None:
    async def work() -> None:
        async with opened() as shop:
            shop.limiter.down = True
            order = shop.order(["text"])
            await asyncio.sleep(60)
            assert not shop.source.requests
            assert shop.permits.limiter_down
            shop.limiter.down = False
            await complete(order, seconds=2)

    scenario(work())


def test_a_permit_for_one_who_was_cancelled_is_lost_and_stalls_nobody() -> None:
    async def work() -> None:
        quota = MemoryLimiter(Limits(1, 0, 1))
        subject = permits.Permits(quota)
        running = asyncio.create_task(subject.run())
        first, second = (asyncio.create_task(subject.take(lambda: 1)) for _ in range(2))
        await asyncio.sleep(1)
        first.cancel()
        async with asyncio.timeout(3):
            await second
        running.cancel()

    scenario(work())


def test_a_cost_that_fails_ends_only_its_own_wait() -> None:
    async def work() -> None:
        subject = permits.Permits(MemoryLimiter(Limits(0, 0, 1)))
        running = asyncio.create_task(subject.run())

        def cost() -> int:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await subject.take(cost)
        await subject.take(lambda: 1)
        running.cancel()

    scenario(work())


def test_an_order_waits_for_its_admission_and_says_so() -> None:
    async def work() -> None:
        told = 0

        def progress() -> None:
            nonlocal told
            told += 1

        order = Order(["a"], [1], progress)
        waiting = asyncio.create_task(order.admission())
        await asyncio.sleep(100)
        assert told >= 40, "waiting for the gate is progress"
        order.drop(RuntimeError("cancelled"))
        with pytest.raises(Dropped):
            await waiting

    scenario(work())

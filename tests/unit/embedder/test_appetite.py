"""How many chunks an embedder takes follows what chunks wait for: OpenAI and its quota, or everything else."""

import asyncio
import itertools
import random
import statistics
from collections.abc import Callable

import pytest

from services.embedder import appetite
from tests.support import embeddings, virtual_time
from tests.support.workshop import TEXTS, Embedder, running

MOST = 8
CHUNKS = 150
# Seconds that the event loop is late on a full machine.
LATE = 0.004

# Seconds that a chunk takes, by how many are in hand.
Seconds = Callable[[int], float]


def processors(in_hand: int) -> float:
    """They are what chunks wait for: none goes faster for another."""
    return 0.1 * in_hand


def others(_in_hand: int) -> float:
    """They do what they are asked, one or many."""
    return 1.0


class Hungry:
    """An appetite that learns from one chunk after the other; each came after the one before was settled."""

    def __init__(self, most: int = MOST, late: float = LATE) -> None:
        self.late = late
        self.subject = appetite.Appetite(most, lambda: self.late, itertools.count(step=1_000).__next__)

    def after(self, seconds: Seconds, *, chunks: int = 100, rationed: bool = False) -> list[int]:
        """How many were wanted at each of so many chunks."""
        wanted = []
        for _ in range(chunks):
            wanted.append(self.subject.wanted)
            self.subject.learn(seconds=seconds(self.subject.wanted), rationed=rationed)
        return wanted


def test_it_begins_with_as_many_as_it_may() -> None:
    assert Hungry().subject.wanted == MOST


def test_where_the_processors_are_waited_for_few_are_wanted() -> None:
    hungry = Hungry()
    hungry.after(processors, chunks=60)
    wanted = hungry.after(processors, chunks=1_000)
    assert statistics.mean(wanted) < 1.15 * appetite.LEAST, "now and then twice as many are tried"


def test_where_the_processors_have_time_all_are_wanted() -> None:
    hungry = Hungry()
    hungry.after(processors)
    hungry.late = 0.0005
    assert hungry.after(processors, chunks=20)[-1] == MOST


def test_where_others_are_waited_for_nearly_all_are_wanted() -> None:
    wanted = Hungry().after(others, chunks=1_000)
    assert statistics.harmonic_mean(wanted) > 0.9 * MOST


def test_where_others_have_become_slow_all_are_wanted_again() -> None:
    hungry = Hungry()
    hungry.after(processors)
    hungry.after(others, chunks=20 * appetite.REST)
    assert statistics.mean(hungry.after(others)) > 0.9 * MOST


@pytest.mark.parametrize("spread", [0.2, 0.4])
def test_answers_that_take_now_longer_and_now_less_change_little(spread: float) -> None:
    for seed in range(10):
        chance = random.Random(seed)
        wanted = Hungry().after(lambda _, at=chance: at.lognormvariate(0.0, spread), chunks=3_000)
        assert statistics.mean(wanted) > 0.7 * MOST, seed


def test_small_tasks_between_change_little() -> None:
    turns = itertools.cycle([1.0, 1.0, 0.3])
    assert statistics.mean(Hungry().after(lambda _: next(turns), chunks=1_000)) > 0.9 * MOST


def test_where_the_quota_holds_a_chunk_up_all_are_wanted_at_once() -> None:
    """A request that is missed is quota lost."""
    hungry = Hungry()
    assert hungry.after(processors)[-1] < MOST
    assert hungry.after(processors, chunks=2, rationed=True)[-1] == MOST


def test_one_slow_answer_changes_nothing_for_long() -> None:
    hungry = Hungry()
    hungry.after(processors)
    hungry.after(lambda _: 60.0, chunks=1)
    assert statistics.mean(hungry.after(processors)) < 2 * appetite.LEAST


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_there_are_never_more_than_may_be(most: int) -> None:
    for seconds in (processors, others):
        wanted = Hungry(most).after(seconds, chunks=500)
        assert set(wanted) <= set(range(min(most, appetite.LEAST), most + 1))


async def in_hand(embedder: Embedder) -> list[int]:
    """How many chunks the embedder holds, looked at often while there are always more in the queue."""
    looks = []
    published = 0
    while published < CHUNKS:
        while sum(len(lane.entries) for lane in embedder.queue.lanes.values()) < MOST + 4:
            await embedder.publish([f"{word} {published}" for word in TEXTS])  # others each time: same ones are shared
            published += 1
        await asyncio.sleep(0.05)
        looks.append(len(embedder.consumer.held))
    return looks


@pytest.mark.parametrize(
    ("openai_seconds", "send_seconds", "settle_seconds", "inputs", "rate"),
    [
        pytest.param(0.01, 0.0, 2.0, 2_048, 0.0, id="index"),
        pytest.param(1.0, 0.0, 0.5, 3, 0.0, id="openai"),
        pytest.param(0.01, 0.2, 0.0, 3, 2.0, id="quota"),
    ],
)
def test_what_others_are_slow_at_is_waited_for_by_all_slots(
    openai_seconds: float, send_seconds: float, settle_seconds: float, inputs: int, rate: float
) -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=openai_seconds)
        async with running(source, slots=MOST, inputs=inputs, rate=rate) as embedder:
            embedder.late_seconds = LATE
            embedder.indexer.send_seconds = send_seconds
            embedder.indexer.settle_seconds = settle_seconds
            looks = await in_hand(embedder)
            assert statistics.mean(looks) > 0.8 * MOST

    virtual_time.run(work())


@pytest.mark.parametrize("send_seconds", [0.0, 0.02])
def test_chunks_that_would_stand_in_a_line_before_openai_are_left_in_the_queue(send_seconds: float) -> None:
    """A small task waited behind all that stood there."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.1, at_once=1)
        async with running(source, slots=MOST, inputs=3) as embedder:
            embedder.late_seconds = LATE
            embedder.indexer.send_seconds = send_seconds
            looks = await in_hand(embedder)
            assert statistics.mean(looks[len(looks) // 2 :]) < 0.5 * MOST
            begun = [at for at, _ in source.requests]
            assert (begun[-1] - begun[0]) / len(begun) < 1.05 * source.seconds, "it is kept busy all the same"

    virtual_time.run(work())


def test_requests_that_the_quota_would_take_fuller_ask_for_more_chunks() -> None:
    """With two chunks in hand each request held two; while it waited for more, its permit came, and it went."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        async with running(source, slots=MOST, rate=5.0) as embedder:
            embedder.late_seconds = LATE
            embedder.appetite.wanted = appetite.LEAST
            embedder.indexer.send_seconds = 0.5
            await in_hand(embedder)
            assert embedder.appetite.wanted == MOST

    virtual_time.run(work())


def test_chunks_that_are_never_settled_keep_nobody_else_from_the_rest() -> None:
    """Two of them, on a machine that was full when they came, held an embedder for ever that wanted only two."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        async with running(source, slots=MOST, inputs=3) as embedder:
            embedder.late_seconds = LATE
            embedder.appetite.wanted = appetite.LEAST
            source.always_failing = {"bad"}
            for _ in range(appetite.LEAST):
                await embedder.publish(["bad"])
            await embedder.until(lambda: len(embedder.consumer.held) == appetite.LEAST)
            for _ in range(10):
                await embedder.publish()
            await embedder.until(lambda: len(embedder.indexer.settled) == 10, seconds=60)

    virtual_time.run(work())

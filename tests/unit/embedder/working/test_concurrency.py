"""How many chunks an embedder takes follows what chunks wait for: OpenAI and its quota, or everything else."""

import asyncio

import pytest

from services.embedder.buying import request_attempts
from services.embedder.working import concurrency
from tests.support import embeddings, virtual_time
from tests.support.working import Embedder, running

MOST = 8
CHUNKS = 60
# Seconds that the event loop is late on a full machine.
LATE = 0.004


def learned(
    *, others_seconds: float, rationed: bool = False, late: float = LATE, chunks: int = 20, most: int = MOST
) -> concurrency.Concurrency:
    wanted = concurrency.Concurrency(most, lambda: late)
    for _ in range(chunks):
        wanted.learn(seconds=1.0, others_seconds=others_seconds, rationed=rationed)
    return wanted


def test_it_begins_with_as_many_as_it_may() -> None:
    assert concurrency.Concurrency(MOST, lambda: LATE).wanted == MOST


def test_where_the_processors_are_waited_for_few_are_wanted() -> None:
    assert learned(others_seconds=0.2).wanted == concurrency.LEAST


def test_where_the_processors_have_time_all_are_wanted() -> None:
    assert learned(others_seconds=0.2, late=0.0005).wanted == MOST


def test_where_openai_or_the_index_is_slow_all_are_wanted_again() -> None:
    wanted = learned(others_seconds=0.2)
    for _ in range(20):
        wanted.learn(seconds=1.0, others_seconds=0.9, rationed=False)
    assert wanted.wanted == MOST


def test_where_the_quota_holds_a_chunk_up_all_are_wanted_at_once() -> None:
    """A request that is missed is quota lost."""
    wanted = learned(others_seconds=0.2)
    wanted.learn(seconds=1.0, others_seconds=0.2, rationed=True)
    assert wanted.wanted == MOST


def test_one_slow_answer_changes_little() -> None:
    wanted = learned(others_seconds=0.2)
    wanted.learn(seconds=60.0, others_seconds=59.0, rationed=False)
    assert wanted.wanted == concurrency.LEAST + 1


def test_an_embedder_that_may_have_one_chunk_has_one() -> None:
    assert learned(others_seconds=0.2, most=1).wanted == 1
    assert learned(others_seconds=0.9, most=1).wanted == 1


async def in_hand(embedder: Embedder) -> list[int]:
    """How many chunks the embedder holds, looked at often while there are always more in the queue."""
    looks = []
    published = 0
    while published < CHUNKS:
        while sum(len(lane.entries) for lane in embedder.queue.lanes.values()) < MOST + 4:
            await embedder.publish()
            published += 1
        await asyncio.sleep(0.05)
        looks.append(len(embedder.consumer.held))
    return looks


def test_chunks_that_would_pile_up_on_a_full_machine_are_left_in_the_queue() -> None:
    async def work() -> None:
        async with running(embeddings.FakeEmbeddings(seconds=0.01), slots=MOST) as embedder:
            embedder.late_seconds = LATE
            embedder.indexer.send_seconds = 0.2
            looks = await in_hand(embedder)
            assert max(looks[: len(looks) // 2]) == MOST
            assert max(looks[len(looks) // 2 :]) == concurrency.LEAST

    virtual_time.run(work())


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
            assert sum(looks) > 0.9 * MOST * len(looks)
            assert embedder.concurrency.wanted == MOST

    virtual_time.run(work())


def test_requests_that_the_quota_would_take_fuller_ask_for_more_chunks() -> None:
    """With two chunks in hand each request held two; while it waited for more, its permit came, and it went."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        async with running(source, slots=MOST, rate=5.0) as embedder:
            embedder.late_seconds = LATE
            embedder.concurrency.wanted = concurrency.LEAST
            embedder.indexer.send_seconds = 0.5
            await in_hand(embedder)
            assert embedder.concurrency.wanted == MOST

    virtual_time.run(work())


def test_chunks_that_are_never_settled_keep_nobody_else_from_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, on a machine that was full when they came, held an embedder for ever that wanted only two."""

    monkeypatch.setattr(request_attempts, "TRIES_ALONE", float("inf"))

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        async with running(source, slots=MOST, inputs=3) as embedder:
            embedder.late_seconds = LATE
            embedder.concurrency.wanted = concurrency.LEAST
            source.always_failing = {"bad"}
            for _ in range(concurrency.LEAST):
                await embedder.publish(["bad"])
            await embedder.until(lambda: len(embedder.consumer.held) == concurrency.LEAST)
            for _ in range(10):
                await embedder.publish()
            await embedder.until(lambda: len(embedder.indexer.settled) == 10, seconds=60)

    virtual_time.run(work())

"""Chunks are decoded one after the other under strikes; small ones together, and none is blamed twice for another."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from services.chunks import consumer as consumers
from services.chunks import entry, errors, memory_store, splitting, store
from services.chunks.delivery import Delivery
from services.embedder.buying.pending_batch import Dropped, Reason
from services.embedder.working import decoding, rows
from tests.support import embeddings

SMALL_ROWS, LARGE_ROWS = 100, 1_000


class Told(memory_store.MemoryStore):
    """A queue that keeps what was struck, and takes a moment for it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[list[int]] = []

    async def strike(self, consumer: str, held: Sequence[store.Held], token: str) -> list[int]:
        counts = await super().strike(consumer, held, token)
        self.told.append([header.chunk for _, header in held])
        await asyncio.sleep(0)
        return counts


async def taken(
    queue: memory_store.MemoryStore, *payloads: bytes, each: int
) -> tuple[consumers.Consumer, list[Delivery]]:
    lease = await splitting.Splitting(queue).acquire("t")
    assert lease is not None
    consumer = consumers.Consumer(queue, slots=20)
    await queue.announce("embedders", "e", 20)
    for chunk, payload in enumerate(payloads):
        header = entry.Header("t", chunk, 1 + chunk * each, each)
        assert await queue.publish(header, payload, lease.token) is store.Outcome.PUBLISHED
    deliveries: list[Delivery] = []
    while len(deliveries) < len(payloads):
        deliveries += await consumer.take(20)
    return consumer, sorted(deliveries, key=lambda delivery: delivery.header.chunk)


def good(text: str) -> bytes:
    return entry.pack(embeddings.rows([text]))


async def decode(work: decoding.Decoding, deliveries: Sequence[Delivery]) -> list[rows.Rows | BaseException]:
    return await asyncio.gather(*(work.decode(each) for each in deliveries), return_exceptions=True)


@pytest.fixture
def queue() -> Told:
    return Told()


async def test_small_chunks_that_come_at_once_are_decoded_under_one_strike_each(queue: Told) -> None:
    consumer, deliveries = await taken(queue, *(good(str(chunk)) for chunk in range(5)), each=SMALL_ROWS)

    decoded = await decode(decoding.Decoding(consumer), deliveries)

    assert [each.texts for each in decoded if isinstance(each, rows.Rows)] == [[str(chunk)] for chunk in range(5)]
    assert queue.told == [[0, 1, 2, 3, 4]]
    assert [await queue.strikes("t", chunk) for chunk in range(5)] == [0] * 5


async def test_large_chunks_are_decoded_each_by_itself(queue: Told) -> None:
    consumer, deliveries = await taken(queue, good("one"), good("two"), each=LARGE_ROWS)

    await decode(decoding.Decoding(consumer), deliveries)

    assert queue.told == [[0], [1]]


async def test_one_that_holds_no_rows_takes_no_neighbour_along(queue: Told) -> None:
    payloads = [good("one"), b"no payload", entry.pack(b"\xff\xff no rows"), good("four")]
    consumer, deliveries = await taken(queue, *payloads, each=SMALL_ROWS)

    decoded = await decode(decoding.Decoding(consumer), deliveries)

    assert [type(each) for each in decoded] == [
        rows.Rows,
        errors.CorruptEntryError,
        errors.CorruptEntryError,
        rows.Rows,
    ]


async def test_a_neighbours_crash_strikes_a_chunk_once_and_then_it_is_decoded_by_itself(
    queue: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that four crashes of a poison chunk make a suspect of it, and of nobody else."""
    consumer, deliveries = await taken(queue, *(good(str(chunk)) for chunk in range(3)), each=SMALL_ROWS)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def nothing(*_: object) -> None:
        """A process that dies takes nothing back."""

    monkeypatch.setattr(decoding.stages, "to_thread", never)
    monkeypatch.setattr(consumer.strikes, "remove", nothing)
    dying = asyncio.create_task(decode(decoding.Decoding(consumer), deliveries))
    while not queue.told:
        await asyncio.sleep(0)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    monkeypatch.undo()
    assert queue.told == [[0, 1, 2]]
    assert [await queue.strikes("t", chunk) for chunk in range(3)] == [1, 1, 1]

    for each in deliveries:
        each.strikes = 1  # as they are handed out again
    queue.told.clear()
    await decode(decoding.Decoding(consumer), deliveries)

    assert queue.told == [[0], [1], [2]]
    assert [await queue.strikes("t", chunk) for chunk in range(3)] == [1, 1, 1]


async def test_without_valkey_nothing_is_decoded_until_the_lease_is_lost(
    queue: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "RETRY_SECONDS", 0.01)
    fail: Callable[[bytes], rows.Rows] = lambda _: pytest.fail("decoded")  # noqa: E731
    monkeypatch.setattr(decoding.rows, "decode", fail)
    consumer, deliveries = await taken(queue, good("one"), good("two"), each=SMALL_ROWS)
    queue.down = True

    waiting = asyncio.gather(*(decoding.Decoding(consumer).decode(each) for each in deliveries), return_exceptions=True)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    for each in deliveries:
        each.lose("not_owner")

    assert [each.reason for each in await waiting if isinstance(each, Dropped)] == [Reason.LEASE_LOST] * 2

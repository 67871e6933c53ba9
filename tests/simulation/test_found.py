"""What the simulation found, each by itself."""

import asyncio
import types
from typing import Any

import pydantic
import pytest
from botocore import exceptions
from vectorline.v1 import pinecone_pb2

from services.billing import spend
from services.chunks import consumer as consumers
from services.chunks import errors as queue_errors
from services.chunks import memory_store
from services.embedder.buying import pending_batch, tokens
from services.embedder.working import worker
from services.indexer.ledger import lifecycle, spending
from services.indexer.pinecone import batch as pinecone_batch
from services.indexer.pinecone import concurrency
from services.indexer.pinecone import transport as pinecone_transport
from services.indexer.pinecone import wire as pinecone_wire
from services.indexer.pinecone import writer as pinecone_writer
from services.indexer.storage import clock, memory, table
from services.ingest.planning import shelf
from services.runtime import errors
from tests.simulation import network, providers, storage
from tests.support import chunks


async def test_strikes_that_are_owed_back_are_not_counted() -> None:
    queue = memory_store.MemoryStore()
    await chunks.publish(queue, 1)
    consumer = consumers.Consumer(queue, slots=1)
    (delivery,) = await consumer.take(1)
    apply = queue.strike

    async def lose_the_answer(*arguments: Any, **named: Any) -> list[int]:
        await apply(*arguments, **named)
        raise queue_errors.QueueUnavailable("applied, but nobody hears of it")

    queue.strike = lose_the_answer  # type: ignore[method-assign]
    with pytest.raises(queue_errors.QueueUnavailable):
        await consumer.strikes.add(delivery)
    queue.strike = apply  # type: ignore[method-assign]
    assert await consumer.strikes.count(delivery.header) == 0


class LosesTheFirstAnswer:
    """A network on which the first call to the table is carried out, and nobody hears of it."""

    weather = network.CALM

    def __init__(self) -> None:
        self._losses = iter((True, False, False))

    def reaches(self, *_: Any) -> bool:
        return True

    def happens(self, probability: float) -> bool:
        return probability == self.weather.table_loses and next(self._losses)


async def test_what_is_paid_in_vain_is_billed_once_though_the_answer_of_the_table_is_lost() -> None:
    """Made again, as a plain update, it counted twice: seed 720, where heartbeats asked for no owner."""
    shared = memory.MemoryTable()
    await shared.put(table.Put({table.KEY: "t", "kind": "task"}))
    process: Any = types.SimpleNamespace(alive=True, clock_off=0.0)
    watch = clock.Clock()
    lossy: Any = LosesTheFirstAnswer()
    way: Any = storage.Table(shared, process, lossy, watch)
    await spending.Spending(way, watch, lifecycle.Lifecycle(way, watch)).record("t", spend.Spend(tokens=3))
    assert spend.of_stored(await shared.get("t") or {}) == spend.Spend(tokens=3)
    assert not next(lossy._losses)  # the call was made twice


class Away:
    """An S3 that does not answer."""

    def get_object(self, **_: Any) -> Any:
        raise exceptions.EndpointConnectionError(endpoint_url="s3")


def test_duplicates_that_s3_does_not_serve_now_are_waited_for() -> None:
    client: Any = Away()
    read = shelf.Shelf(client, "bucket").pairs("s3://bucket/plans/t/plan.json")
    with pytest.raises(errors.Unavailable):
        read(0, 8)


async def test_the_word_of_the_ledger_is_asked_for_when_the_upsert_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check before a long wait for a slot would let a task write after its turn has passed on."""
    monkeypatch.setattr(concurrency, "FIRST", 1.0)
    index: Any = types.SimpleNamespace(host="")
    wire = pinecone_wire.Wire(index, pydantic.SecretStr(""), 30.0)
    upserts = pinecone_writer.Upserts(pinecone_transport.Transport(index, wire, wire, "wire"))
    told: list[str] = []
    free = asyncio.Event()

    async def call(_: bytes, **__: Any) -> Any:
        told.append("written")
        await free.wait()
        return pinecone_pb2.PineconeUpsertResponse(upserted_count=1)

    async def check() -> None:
        told.append("checked")

    def sent(request: bytes, **about: Any) -> Any:
        return providers.Call(call(request, **about))

    wire._calls = pinecone_wire.Calls(upsert=sent, delete=sent, fetch=call, drop=sent)
    vector = pinecone_batch.Vector(id="a", values=memoryview(b"12345678"), metadata=b"")
    batch = pinecone_batch.Batch([vector], "v2")
    writing = [asyncio.create_task(upserts.write(batch, check)) for _ in range(2)]
    for _ in range(20):  # both come as far as they can
        await asyncio.sleep(0)
    told.append("slot is free")
    free.set()
    await asyncio.gather(*writing)
    assert told == ["checked", "written", "slot is free", "checked", "written"]


async def test_a_chunk_that_cannot_be_handed_back_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held on to, its lease was renewed for ever, and a suspect chunk in hand kept its embedder from any other."""
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.0)
    nothing: Any = None
    queue = memory_store.MemoryStore()
    consumer = consumers.Consumer(queue, slots=1)
    await chunks.publish(queue, 1)
    (delivery,) = await consumer.take(1)
    queue.down = True
    shop: Any = types.SimpleNamespace(place=nothing, why=str)
    work = worker.Worker(consumer, nothing, shop, nothing, unsettled=nothing, model="", dimension=1, count=tokens.bound)
    assert await work._finish(delivery, pending_batch.Dropped(pending_batch.Reason.SUSPECT)) == "handed_back"
    assert consumer.held == []

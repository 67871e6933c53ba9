"""An embedder and an indexer in this process: real gRPC, real interceptors, all else in memory and next to nothing.

What a chunk costs beside its rows is most of what is used here: what is added to each chunk or call shows, where in a
real load it is lost in the noise.
"""

import asyncio
import contextlib
import functools
import itertools
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pydantic
from vectorline.v1 import chunk_pb2, ledger_pb2_grpc

from services.chunks import consumer, entry, memory_store, publisher, splitting
from services.embedder import indexer_client
from services.embedder.buying import batching, packing, tokens
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import permits, promise
from services.embedder.openai import answers
from services.embedder.working import concurrency, consuming, unsettled, worker
from services.indexer import ledger, servicer
from services.indexer import settings as indexer_settings
from services.indexer.ledger import creation, lifecycle
from services.indexer.ledger import servicer as ledger_servicer
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import writer
from services.indexer.storage import clock, memory
from services.indexer.tasks import servicer as task_servicer
from services.runtime import channels, key_rates, keys, secrets, server, tls
from services.runtime import settings as runtime_settings

TOKEN = pydantic.SecretStr("small-line")
MODEL, DIMENSION, NAMESPACE = "m", 4, "small"
VECTOR = struct.pack(f"<{DIMENSION}f", *([1.0] * DIMENSION))
CHUNK_ROWS = 100
SLOTS = 8
POLL_SECONDS = 0.005
LOAD_SECONDS = 300.0


class _Embeddings:
    """Answers at once."""

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        return answers.Bought([VECTOR] * len(texts), len(texts))


class _Index:
    """Takes everything at once."""

    async def way(self) -> "_Index":
        return self

    async def compare(self, _vector: batches.Vector) -> None:
        """It takes vectors of this width."""

    def find_anew(self) -> None:
        """It is where it was."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        return batches.Written(len(batch))


class SmallLine:
    """Loads tasks of as many chunks as asked."""

    def __init__(self, queue: memory_store.MemoryStore, book: ledger.Ledger) -> None:
        self._queue = queue
        self._ledger = book
        self._questions = itertools.count(1)

    async def load(self, chunks: int, traceparent: str = "") -> None:
        """One task, to the ack of its last chunk; its chunks are published in this trace."""
        task_id = str(uuid.uuid4())
        await self._ledger.create(
            creation.NewTask(
                client="bench",
                request_id="",
                request=b"",
                body=b"",
                task_type="s3_csv",
                namespace=NAMESPACE,
                question_id=next(self._questions),  # nobody's turn is waited for
                task_id=task_id,
            )
        )
        await self._ledger.tasks.begin_scan(task_id, b"")
        found = lifecycle.Scan(b"", "s3://b/plan", chunks * CHUNK_ROWS, "utf-8", ",", ("id", "text"), chunks)
        await self._ledger.tasks.end_scan(task_id, found)
        turn = await self._ledger.turns.acquire(task_id)
        publishing = publisher.Publisher(self._queue)
        lease = await splitting.Splitting(self._queue).acquire(task_id)
        assert lease is not None
        for chunk in range(chunks):
            if chunk % 256 == 0:
                await self._ledger.shards.open(task_id, chunk // 256)
            header = entry.Header(task_id, chunk, 1, CHUNK_ROWS, fence=turn.fence, traceparent=traceparent)
            await publishing.publish_waiting(header, _payload(chunk), lease.token)
        async with asyncio.timeout(LOAD_SECONDS):
            await _until(lambda: self._queue.in_flight(task_id))
        await self._ledger.tasks.fail(task_id, "BENCH", "It is over.")
        await lease.release()


async def _until(left: Callable[[], Awaitable[object]]) -> None:
    """Until nothing is left."""
    while await left():  # noqa: ASYNC110 (a queue tells nobody that it is empty)
        await asyncio.sleep(POLL_SECONDS)


@functools.cache
def _payload(chunk: int) -> bytes:
    content = chunk_pb2.ChunkRows(namespace=NAMESPACE)
    for row in range(CHUNK_ROWS):
        content.rows.add(row_number=1 + row, vector_id=f"1.{chunk}.{row}", text=f"row {row} of {chunk}")
    return content.SerializeToString()


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[SmallLine]:
    """One line; traced if something records spans when it begins."""
    book = ledger.Ledger(memory.MemoryTable(), clock.Clock(), index="small")
    async with contextlib.AsyncExitStack() as stack:
        listening, port = _server(book)
        await listening.start()
        stack.push_async_callback(listening.stop, None)
        channel = channels.connect(f"127.0.0.1:{port}", TOKEN, name="indexer")
        stack.push_async_callback(channel.close)
        client = indexer_client.Indexer(channel, lambda: channels.internal_metadata(TOKEN))
        queue = memory_store.MemoryStore()
        taken = _embedder(queue, client, stack)
        await taken.start()
        stack.push_async_callback(taken.close)
        yield SmallLine(queue, book)


def _server(book: ledger.Ledger) -> tuple[grpc.aio.Server, int]:
    process = runtime_settings.ProcessSettings(internal_token=TOKEN)
    service = server.Service(names=(), register=lambda _: None, dependencies={}, rate=key_rates.LocalRate())
    authentication = server.Authentication(keys.Keyring(process), tls.files(process))
    listening = grpc.aio.server(interceptors=server.interceptors(process, authentication, service, secrets.Vault()))
    nothing: Any = None
    upserts = writer.Upserts(_Index())  # type: ignore[arg-type]
    rules = indexer_settings.LedgerSettings()
    tasks = task_servicer.TaskServicer(book, rules)
    indexing = servicer.IndexerServicer(tasks, book, nothing, upserts, _Rejects(), rules=rules)  # type: ignore[arg-type]
    servicer.register(indexing, listening)
    serving = ledger_servicer.LedgerServicer(book, nothing)
    ledger_pb2_grpc.add_LedgerServiceServicer_to_server(serving, listening)
    return listening, listening.add_insecure_port("127.0.0.1:0")


class _Rejects:
    """There are none."""

    async def write(self, *_: object) -> str:
        return ""


def _embedder(
    queue: memory_store.MemoryStore, client: indexer_client.Indexer, stack: contextlib.AsyncExitStack
) -> consuming.Consuming:
    limiter = memory_limiter.MemoryLimiter(promise.Quota(0, 0, packing.REQUEST_TOKENS))
    permit = permits.Permits(limiter)
    batcher = batching.Batcher(
        _Embeddings(), permit, limiter, packing.RequestSize(), requests_in_flight=SLOTS, request_limited=False
    )
    for loop in (permit.run, batcher.run):
        stack.callback(asyncio.create_task(loop()).cancel)
    taking = consumer.Consumer(queue, slots=SLOTS)
    wanted = concurrency.Concurrency(SLOTS, lambda: 0.0)
    work = worker.Worker(
        taking,
        client,
        batcher,
        wanted,
        unsettled=unsettled.Unsettled(client),
        model=MODEL,
        dimension=DIMENSION,
        count=tokens.bound,
    )
    return consuming.Consuming(taking, work, batcher, wanted)

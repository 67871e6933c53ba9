"""Fakes around the buying of embeddings: a provider that follows a script, an indexer, chunks of rows."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend
from services.chunks import entry
from services.chunks.delivery import Delivery
from services.embedder import indexer_client
from services.embedder.buying import tokens
from services.embedder.openai import answers
from services.embedder.openai import errors as openai_errors

DIMENSION = 4
Answer = Callable[[Sequence[str]], list[bytes]]


def vector(text: str) -> bytes:
    """The embedding of a text: other texts have others."""
    return struct.pack("<4f", 1.0, float(len(text)), float(sum(text.encode())), float(hash(text) % 1000))


class FakeEmbeddings:
    """A provider. `script` holds what the next requests are met with; after it everything is bought."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds
        self.script: list[Exception] = []
        self.bad_texts: set[str] = set()
        self.always_failing: set[str] = set()
        self.refusal: Exception | None = None
        # What a request with these texts is met with, if with anything but embeddings.
        self.rule: Callable[[Sequence[str]], Exception | None] = lambda texts: None
        self.requests: list[tuple[float, list[str]]] = []
        self.bought: list[str] = []
        self.under_way = 0
        # Tokens that a request is billed for; None: the server does not say.
        self.billed: Callable[[Sequence[str]], int | None] = lambda texts: sum(tokens.count(texts))

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        self.requests.append((asyncio.get_running_loop().time(), list(texts)))
        self.under_way += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.under_way -= 1
        if self.always_failing & set(texts):
            raise openai_errors.Failed("HTTP 500")
        if self.script:
            raise self.script.pop(0)
        if self.refusal is not None:
            raise self.refusal
        if (error := self.rule(texts)) is not None:
            if isinstance(error, openai_errors.Partial):
                self.bought += [text for text, each in zip(texts, error.vectors, strict=True) if each is not None]
            raise error
        if self.bad_texts & set(texts):
            raise openai_errors.Refused("'$.input' is invalid.")
        self.bought += texts
        return answers.Bought((vector(text) for text in texts), self.billed(texts))


class FakeCall:
    """One IndexChunk call."""

    def __init__(self, indexer: "FakeIndexer") -> None:
        self._indexer = indexer
        self.header: indexer_pb2.IndexChunkHeader | None = None
        self.spent = spend.NOTHING
        self.vectors: dict[str, bytes] = {}
        self.rejects: dict[int, str] = {}

    async def send(self, **part: Any) -> None:
        await asyncio.sleep(0)
        self._indexer.sent.append(next(iter(part)))
        if "header" in part:
            self.header = part["header"]
        elif "spent" in part:
            self.spent = spend.of_proto(part["spent"])
        else:
            self.rejects.update({each.row_number: each.reason for each in part["rejects"].rejects})

    async def send_packed(self, request: bytes) -> None:
        await self._indexer.take_vectors()
        batch = indexer_pb2.IndexChunkRequest.FromString(request).vectors
        width = len(batch.values) // len(batch.ids)
        for number, vector_id in enumerate(batch.ids):
            assert vector_id not in self.vectors, "sent twice in one call"
            self.vectors[vector_id] = batch.values[number * width : (number + 1) * width]

    async def settle(self) -> indexer_pb2.ChunkSettled:
        await self._indexer.begin_settling()
        return self.settled()

    def settled(self) -> indexer_pb2.ChunkSettled:
        assert self.header is not None
        key = (self.header.task_id, self.header.chunk)
        assert len(self.vectors) + len(self.rejects) + self.header.skipped == self.header.rows
        self._indexer.settled.setdefault(key, self)
        return indexer_pb2.ChunkSettled(indexed=len(self.vectors), failed=len(self.rejects))


class FakeChunksCall:
    """One IndexChunks call: a call of each of its chunks."""

    def __init__(self, indexer: "FakeIndexer") -> None:
        self._indexer = indexer
        self._calls: list[FakeCall] = []
        # Of each vector to come, whose it is.
        self._owners: list[FakeCall] = []

    async def send(self, **part: Any) -> None:
        await asyncio.sleep(0)
        self._indexer.sent.append(next(iter(part)))
        if "heads" in part:
            for head in part["heads"].chunks:
                call = FakeCall(self._indexer)
                call.header = head.header
                call.rejects.update({each.row_number: each.reason for each in head.rejects})
                self._calls.append(call)
                self._owners += [call] * head.vectors
        else:
            for call, spent in zip(self._calls, part["spends"].spends, strict=True):
                call.spent = spend.of_proto(spent)

    async def send_packed(self, request: bytes) -> None:
        await self._indexer.take_vectors()
        batch = indexer_pb2.IndexChunksRequest.FromString(request).vectors
        width = len(batch.values) // len(batch.ids)
        for number, vector_id in enumerate(batch.ids):
            owner = self._owners.pop(0)
            assert vector_id not in owner.vectors, "sent twice in one call"
            owner.vectors[vector_id] = batch.values[number * width : (number + 1) * width]

    async def settle(self) -> indexer_pb2.ChunkOutcomes:
        await self._indexer.begin_settling()
        assert not self._owners, "vectors are missing"
        outcomes = []
        for call in self._calls:
            assert call.header is not None
            if call.header.chunk in self._indexer.unsettled_together:
                outcomes.append(indexer_pb2.ChunkOutcome(unsettled="Its shard was not opened."))
            else:
                outcomes.append(indexer_pb2.ChunkOutcome(settled=call.settled()))
        return indexer_pb2.ChunkOutcomes(outcomes=outcomes)


class FakeIndexer:
    """The indexer, as `worker` and `account` see it."""

    def __init__(self) -> None:
        self.gate: indexer_client.Gate | Exception = indexer_client.Gate.GO
        # What FailChunk answers.
        self.failing_gate = indexer_client.Gate.GO
        self.settled: dict[tuple[str, int], FakeCall] = {}
        self.failed: list[tuple[str, int, str]] = []
        self.blocked: dict[str, str] = {}
        # What it was told besides the settlements, by task.
        self.unsettled: dict[str, spend.Spend] = {}
        self.breaks_in_spend: list[Exception] = []
        self.resumed: list[str] = []
        self.unresumable: set[str] = set()
        self.sent: list[str] = []
        self.gate_calls = 0
        # Chunks of each question.
        self.asked: list[list[int]] = []
        # Why nothing goes through at the provider, as it was told with each question.
        self.waits: list[str] = []
        self.send_seconds = 0.0
        self.settle_seconds = 0.0
        self.breaks_in_vectors: list[Exception] = []
        self.breaks_in_settle: list[Exception] = []
        # Chunks of the calls of several, and those that are never settled by one.
        self.together: list[list[int]] = []
        self.unsettled_together: set[int] = set()
        self.unserved = False

    async def take_vectors(self) -> None:
        await asyncio.sleep(self.send_seconds)
        if self.breaks_in_vectors:
            raise self.breaks_in_vectors.pop(0)
        self.sent.append("vectors")

    async def begin_settling(self) -> None:
        await asyncio.sleep(self.settle_seconds)
        if self.breaks_in_settle:
            raise self.breaks_in_settle.pop(0)

    async def begin_chunks(
        self, headers: Sequence[entry.Header], model: str, dimension: int, *, waits: str, answer_seconds: float
    ) -> Sequence[indexer_client.Gate]:
        self.gate_calls += 1
        self.waits.append(waits)
        self.asked.append([header.chunk for header in headers])
        await asyncio.sleep(0)
        if isinstance(self.gate, Exception):
            raise self.gate
        return [self.gate] * len(headers)

    async def fail_chunk(self, header: entry.Header, reason: str) -> indexer_client.Gate:
        self.failed.append((header.task_id, header.chunk, reason))
        return self.failing_gate

    async def block_task(self, task_id: str, reason: str, message: str) -> None:
        self.blocked[task_id] = message

    async def record_spend(self, task_id: str, spent: spend.Spend) -> None:
        if self.breaks_in_spend:
            raise self.breaks_in_spend.pop(0)
        self.unsettled[task_id] = self.unsettled.get(task_id, spend.NOTHING) + spent

    async def blocked_tasks(self, reason: str) -> list[str]:
        return list(self.blocked)

    async def resume_task(self, task_id: str) -> None:
        if task_id in self.unresumable:
            raise indexer_client.ChunkRefused("cancelled meanwhile")
        del self.blocked[task_id]
        self.resumed.append(task_id)

    @contextlib.asynccontextmanager
    async def index_chunk(self, delivery: Delivery, counter: Any) -> AsyncIterator[FakeCall]:
        yield FakeCall(self)

    @contextlib.asynccontextmanager
    async def index_chunks(self, deliveries: Sequence[Delivery], counter: Any) -> AsyncIterator[FakeChunksCall]:
        self.together.append([each.header.chunk for each in deliveries])
        if self.unserved:
            raise indexer_client.Unserved("UNIMPLEMENTED: Method not found!")
        yield FakeChunksCall(self)


def rows(texts: Sequence[str], rejects: int = 0) -> bytes:
    """A chunk's payload, unpacked."""
    content = chunk_pb2.ChunkRows(namespace="v2")
    for number, text in enumerate(texts, start=1):
        content.rows.add(row_number=number, vector_id=f"7.{number}", text=text)
    for number in range(rejects):
        content.rejects.add(row_number=len(texts) + 1 + number, reason="empty_text")
    return content.SerializeToString()

"""OpenAI and Pinecone: what was bought from whom, what was written when, and all that they get wrong."""

import asyncio
import dataclasses
import functools
import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

import structlog
from google.protobuf import struct_pb2
from vectorline.v1 import pinecone_pb2

from services.billing import units
from services.embedder.openai import answers
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from services.runtime import errors
from tests.simulation import loop as loops
from tests.simulation import wire
from tests.simulation.network import Network

log = structlog.get_logger()

DIMENSION = 8
REFUSED_WORD = "refuseme"
UPSERT_DEADLINE_SECONDS = 30.0


# Pinecone's words, where no write is taken before a person acts.
QUOTA_USED = "You've reached your write unit limit for the current month."


@functools.lru_cache(1 << 14)
def vector_of(text: str) -> bytes:
    """Of two texts the vectors are as good as never alike."""
    drawn = struct.unpack(f"<{DIMENSION}i", hashlib.blake2b(text.encode(), digest_size=4 * DIMENSION).digest())
    return struct.pack(f"<{DIMENSION}f", *(each / 2**31 for each in drawn))


@dataclasses.dataclass
class OpenAI:
    """The account."""

    network: Network
    on_trouble: Callable[[], None]
    on_paid_in_vain: Callable[[Sequence[str]], None]
    good: bool = True
    bought: Counter[str] = dataclasses.field(default_factory=Counter)
    # On its bill, a token a text; those of probes are no task's.
    tokens: int = 0
    # (when, process, whether it was frozen in the last seconds)
    starts: list[tuple[float, loops.Process]] = dataclasses.field(default_factory=list)
    text_of: dict[bytes, str] = dataclasses.field(default_factory=dict)


class Embeddings:
    """One process's client: a `shared_backoff.Embeddings`."""

    def __init__(self, account: OpenAI, process: loops.Process) -> None:
        self._account = account
        self._process = process

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        account, network = self._account, self._account.network
        weather = network.weather
        if not self._process.alive:
            await loops.for_ever()
        account.starts.append((network.loop.now, self._process))
        await network.pause()
        if not network.reaches(self._process, "openai") or network.happens(weather.openai_fails):
            raise openai_errors.Failed("HTTP 500")
        if not account.good:
            account.on_trouble()
            raise openai_errors.AccountRefused("insufficient_quota")
        if network.happens(weather.openai_throttles):
            raise openai_errors.Throttled(network.choice.choice((0.2, 1.0, 5.0)), tokens_exceeded=False)
        if any(REFUSED_WORD in text for text in texts):
            raise openai_errors.Refused("not this text")
        account.bought.update(texts)
        account.tokens += sum(text != openai_client.PROBE_TEXT for text in texts)
        log.debug("Bought.", texts=[text.removesuffix(" words") for text in texts])
        lost = network.happens(weather.openai_paid_and_lost)
        if lost:
            account.on_paid_in_vain(texts)
        await network.pause()
        if lost:
            raise openai_errors.Unanswered("the connection broke")
        vectors = [vector_of(text) for text in texts]
        account.text_of.update(zip(vectors, texts, strict=True))
        return answers.Bought(vectors, len(texts))


@dataclasses.dataclass(frozen=True)
class Upsert:
    """A vector as it came into the index."""

    at: float
    vector_id: str
    values: bytes


class Call:
    """A call under way, as grpc.aio has it; its answer comes with a place in the log, if it is told one."""

    def __init__(self, answer: Coroutine[Any, Any, Any], lsn: Callable[[], int] = int) -> None:
        self._answer = answer
        self._lsn = lsn

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer.__await__()

    async def initial_metadata(self) -> Any:
        return (("x-pinecone-request-lsn", str(self._lsn())),)

    async def trailing_metadata(self) -> Any:
        return ()


@dataclasses.dataclass
class Pinecone:
    """The index."""

    network: Network
    down: bool = False
    # The plan's quota of writes is used up.
    exhausted: bool = False
    # How often a process stands still with the ledger's word in hand, and writes when that is old; and what was written
    # or deleted so, and by whom.
    stalls: float = 0.0
    late: dict[str, loops.Process] = dataclasses.field(default_factory=dict)
    vectors: dict[tuple[str, str], bytes] = dataclasses.field(default_factory=dict)
    log: list[Upsert] = dataclasses.field(default_factory=list)
    # On its bill.
    write_units: int = 0
    sizes: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    metadata: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)
    # Of writes, by namespace.
    lsn: Counter[str] = dataclasses.field(default_factory=Counter)
    # Of which texts the vectors are that others wrote.
    foreign: dict[bytes, str] = dataclasses.field(default_factory=dict)

    async def records(self, namespace: str) -> dict[str, struct_pb2.Struct]:
        """What is in a namespace, by id: metadata, as whoever asks is told."""
        await self.network.pause()
        if self.down or self.network.happens(self.network.weather.pinecone_fails):
            raise errors.Unavailable("Pinecone does not answer now.")
        return {name: self.metadata[space, name] for space, name in sorted(self.vectors) if space == namespace}

    def last(self) -> int:
        """The number of the last write; there is one namespace."""
        return max(self.lsn.values(), default=0)

    def call_of(self, process: loops.Process) -> Callable[..., Any]:
        async def upsert(request: Any, timeout: float, metadata: Any) -> Any:
            if not process.alive:
                await loops.for_ever()
            # Once it is sent, it is Pinecone's: what becomes of the sender changes nothing.
            if isinstance(request, bytes):
                request = pinecone_pb2.PineconeUpsertRequest.FromString(request)
            late = self._stall(process, [each.id for each in request.vectors])
            return await asyncio.shield(self.network.loop.fate.start(self._sent(late, process, self._upsert(request))))

        return lambda request, **sent: Call(upsert(request, **sent), self.last)

    def delete_of(self, process: loops.Process) -> Callable[..., Any]:
        async def delete(request: bytes, timeout: float, metadata: Any) -> Any:
            if not process.alive:
                await loops.for_ever()
            asked = pinecone_pb2.PineconeDeleteRequest.FromString(request)
            late = self._stall(process, asked.ids)
            return await asyncio.shield(self.network.loop.fate.start(self._sent(late, process, self._delete(asked))))

        return lambda request, **sent: Call(delete(request, **sent), self.last)

    def drop_of(self, process: loops.Process) -> Callable[..., Any]:
        async def drop(request: bytes, timeout: float, metadata: Any) -> Any:
            if not process.alive:
                await loops.for_ever()
            asked = pinecone_pb2.PineconeDeleteNamespaceRequest.FromString(request)
            everything = pinecone_pb2.PineconeDeleteRequest(namespace=asked.namespace, delete_all=True)
            late = self._stall(process, [name for space, name in self.vectors if space == asked.namespace])
            sending = self._sent(late, process, self._delete(everything))
            return await asyncio.shield(self.network.loop.fate.start(sending))

        return lambda request, **sent: Call(drop(request, **sent))

    def _stall(self, process: loops.Process, ids: Sequence[str]) -> float:
        """For how long a process stands still before it sends."""
        if not self.network.happens(self.stalls):
            return 0.0
        log.info(f"**** {process.name} stands still before it writes {list(ids)}")
        self.late.update(dict.fromkeys(ids, process))
        process.freeze()
        return self.network.choice.uniform(35.0, 75.0)

    async def _sent(self, late: float, process: loops.Process, work: Coroutine[Any, Any, Any]) -> Any:
        if late:
            await asyncio.sleep(late)
            if not process.alive:
                work.close()
                await loops.for_ever()
            process.thaw()  # what it was about to do is the first that it does
        return await work

    def _refuse(self) -> None:
        if self.down:
            raise wire.failure("UNAVAILABLE", "Pinecone is down")
        if self.exhausted:
            raise wire.failure("RESOURCE_EXHAUSTED", QUOTA_USED)

    async def _delete(self, request: Any) -> Any:
        network, weather = self.network, self.network.weather
        await network.pause()
        self._refuse()
        if network.happens(weather.pinecone_fails):
            if network.happens(0.5):
                self._remove(request)
            raise wire.failure(network.choice.choice(("UNAVAILABLE", "RESOURCE_EXHAUSTED")), "not now")
        if network.happens(weather.pinecone_slow):
            # It is deleted whoever still waits for it.
            delay = network.choice.random() * UPSERT_DEADLINE_SECONDS
            deleted = network.loop.fate.start(self._remove_later(request, delay))
            try:
                async with asyncio.timeout(UPSERT_DEADLINE_SECONDS * network.choice.random()):
                    await asyncio.shield(deleted)
            except TimeoutError:
                raise wire.failure("DEADLINE_EXCEEDED", "too slow") from None
        else:
            self._remove(request)
            await network.pause()
        return pinecone_pb2.PineconeDeleteResponse()

    async def _remove_later(self, request: Any, delay: float) -> None:
        await asyncio.sleep(delay)
        self._remove(request)

    def _remove(self, request: Any) -> None:
        keys = {(request.namespace, name) for name in request.ids}
        if request.delete_all:
            keys = {key for key in self.vectors if key[0] == request.namespace}
        size = sum(self.sizes.pop(key, 0) for key in keys)
        self.write_units += max(units.LEAST_WRITE_UNITS, 0 if request.delete_all else units.of_replaced(size))
        self.lsn[request.namespace] = 0 if request.delete_all else self.lsn[request.namespace] + 1
        for key in keys & set(self.vectors):
            del self.vectors[key], self.metadata[key]

    async def _upsert(self, request: Any) -> Any:
        network, weather = self.network, self.network.weather
        if self.down or self.exhausted:
            await network.pause()
        self._refuse()
        if network.happens(weather.pinecone_fails):
            await network.pause()
            if network.happens(0.5):
                self._write(request, len(request.vectors))
            raise wire.failure(network.choice.choice(("UNAVAILABLE", "RESOURCE_EXHAUSTED")), "not now")
        if network.happens(weather.pinecone_slow):
            # It is written whoever still waits for it.
            fate = network.loop.fate
            delay = network.choice.random() * UPSERT_DEADLINE_SECONDS
            written = fate.start(self._later(request, delay))
            try:
                async with asyncio.timeout(UPSERT_DEADLINE_SECONDS * network.choice.random()):
                    await asyncio.shield(written)
            except TimeoutError:
                raise wire.failure("DEADLINE_EXCEEDED", "too slow") from None
        else:
            await network.pause()
            count = len(request.vectors)
            if network.happens(weather.pinecone_partial):
                count = network.choice.randrange(count)
            self._write(request, count)
            await network.pause()
            return pinecone_pb2.PineconeUpsertResponse(upserted_count=count)
        return pinecone_pb2.PineconeUpsertResponse(upserted_count=len(request.vectors))

    async def _later(self, request: Any, delay: float) -> None:
        await asyncio.sleep(delay)
        self._write(request, len(request.vectors))

    def write(self, key: tuple[str, str], text: str) -> None:
        """Somebody else writes a record, by the same model."""
        self.vectors[key] = vector_of(text)
        self.foreign[self.vectors[key]] = text
        self.metadata[key] = struct_pb2.Struct()
        self.metadata[key].update({"text": text})

    def cut(self, key: tuple[str, str]) -> None:
        """Of a record's text the metadata hold the beginning only, and say so."""
        text = self.metadata[key]["text"]
        self.metadata[key].update({"text": text[: len(text) // 2], "text_truncated": True})

    def _write(self, request: Any, count: int) -> None:
        sizes = {
            (request.namespace, each.id): len(each.id) + len(each.values) + len(each.metadata)
            for each in request.vectors[:count]
        }
        if sizes:
            replaced = sum(self.sizes.get(key, 0) for key in sizes)
            self.write_units += units.of_upsert(sum(sizes.values())) + units.of_replaced(replaced)
            self.sizes |= sizes
        self.lsn[request.namespace] += 1
        for vector in request.vectors[:count]:
            self.vectors[request.namespace, vector.id] = vector.values
            self.metadata[request.namespace, vector.id] = struct_pb2.Struct.FromString(vector.metadata)
            self.log.append(Upsert(self.network.loop.now, vector.id, vector.values))

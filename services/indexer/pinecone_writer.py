"""The hot path into Pinecone: upserts packed by real bytes, sent as they lie, checked by what was written.

Vectors stay the float32 bytes that OpenAI's answer held: a packed `repeated float` and these bytes are the same on the
wire. Nothing settles on hope: an upsert counts when Pinecone says how many it wrote.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NoReturn

import grpc
import prometheus_client
import pydantic
import structlog
import tenacity
from vectorline.v1 import pinecone_pb2

from services.indexer import concurrency, pinecone_client
from services.runtime import breaker, channels, failpoints, secrets, wire

log = structlog.get_logger()

# https://docs.pinecone.io/reference/api/database-limits: 2 MB and 1,000 records a request; a little is left for
# the request's own framing.
UPSERT_BYTES = 2_000_000 - 4_096
UPSERT_VECTORS = 1_000
# Tag and length of one vector and of its three fields, at most.
FRAMING_BYTES = 24

METHOD = "/VectorService/Upsert"
API_VERSION = "2025-10"

UPSERTS = prometheus_client.Counter("vectorline_pinecone_upserts", "Upserts to Pinecone.", ["outcome"])
SECONDS = prometheus_client.Histogram("vectorline_pinecone_seconds", "Seconds an upsert took.")

REFUSED = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
KEY_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
PUSH_BACK = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclasses.dataclass(frozen=True, slots=True)
class Vector:
    """One record of Pinecone's wire (`PineconeVector` in protos/), its values still where they came."""

    id: str
    # float32 little-endian.
    values: memoryview
    # A serialised google.protobuf.Struct.
    metadata: bytes

    def parts(self) -> tuple[bytes, memoryview, bytes]:
        """The record as a field of `PineconeUpsertRequest`: what joins to its bytes."""
        before = wire.field(1, self.id.encode()) + wire.head(2, len(self.values))
        after = wire.field(3, self.metadata)
        return wire.head(1, len(before) + len(self.values) + len(after)) + before, self.values, after


def pack(vectors: Sequence[Vector], namespace: str) -> bytes:
    """A `PineconeUpsertRequest`, serialised."""
    parts = [part for vector in vectors for part in vector.parts()]
    return b"".join((*parts, wire.field(2, namespace.encode())))


class IndexRefused(Exception):
    """The index refuses the content of a batch; bisecting finds the record."""


class IndexUnavailable(Exception):
    """The index does not take the batch now; the same batch may succeed later."""


class Upserts:
    """Writes batches of vectors into one index."""

    def __init__(self, index: pinecone_client.Pinecone, api_key: pydantic.SecretStr, deadline_seconds: float) -> None:
        self._index = index
        self._key = api_key
        self._deadline_seconds = deadline_seconds
        self._channel: grpc.aio.Channel | None = None
        self._call: Callable[..., Awaitable[pinecone_pb2.PineconeUpsertResponse]] | None = None
        self._limit = concurrency.AdaptiveLimit()
        self.circuit = breaker.Breaker("pinecone")

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()

    async def write(
        self, namespace: str, vectors: Sequence[Vector], check: Callable[[], Awaitable[None]]
    ) -> dict[int, str]:
        """Write a batch of at most `UPSERT_BYTES`; `check` is asked before each try and may raise to stop.

        Returns:
            Refused records: position in `vectors` to the index's words. All others are written.

        Raises:
            IndexUnavailable: Not written (or not known to be) after the retries; to be sent again later.
        """
        try:
            await self._write_all(namespace, vectors, check)
        except IndexRefused as refusal:
            if len(vectors) == 1:
                return {0: str(refusal)}
            middle = len(vectors) // 2
            left = await self.write(namespace, vectors[:middle], check)
            right = await self.write(namespace, vectors[middle:], check)
            return left | {middle + position: words for position, words in right.items()}
        return {}

    async def _write_all(self, namespace: str, vectors: Sequence[Vector], check: Callable[[], Awaitable[None]]) -> None:
        request = pack(vectors, namespace)
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(IndexUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_attempt(4),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                await check()
                async with self._limit.slot():
                    written = await self._send(request)
                if written != len(vectors):
                    UPSERTS.labels("partial").inc()
                    raise IndexUnavailable(f"Pinecone wrote {written} of {len(vectors)} vectors.")

    async def _send(self, request: bytes) -> int:
        call = self._call or await self._connect()
        key = self._key.get_secret_value()
        metadata = (("api-key", key), ("x-pinecone-api-version", API_VERSION))
        try:
            with SECONDS.time():
                failpoints.hit("indexer.before_upsert")
                answer = await call(request, timeout=self._deadline_seconds, metadata=metadata)
                failpoints.hit("indexer.after_upsert")
        except grpc.aio.AioRpcError as error:
            if error.code() in KEY_REFUSED:
                await secrets.renewed(self._key, key)  # the retry sends the new one, if there is one
            self._sort(error)
        UPSERTS.labels("written").inc()
        self._limit.succeed()
        self.circuit.succeed()
        return answer.upserted_count

    def _sort(self, error: grpc.aio.AioRpcError) -> NoReturn:
        """What is to be done about a failed call."""
        words = (error.details() or error.code().name)[:300]
        if error.code() in REFUSED:
            UPSERTS.labels("refused").inc()
            self.circuit.succeed()
            raise IndexRefused(words) from error
        UPSERTS.labels("failed").inc()
        if error.code() in PUSH_BACK:
            self._limit.push_back()
        self.circuit.fail()
        log.warning("Pinecone did not take a batch.", action="upsert_failed", code=error.code().name, error=words)
        raise IndexUnavailable(words) from error

    async def _connect(self) -> Callable[..., Awaitable[pinecone_pb2.PineconeUpsertResponse]]:
        index = await self._index.index()
        scheme, _, host = index.host.partition("://")
        options = (*channels.KEEPALIVE, *channels.SIZES, *channels.RECONNECT)
        host = host.rstrip("/")
        if scheme == "http":
            self._channel = grpc.aio.insecure_channel(host, options=options)
        else:
            target = host if ":" in host else f"{host}:443"
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
        self._call = self._channel.unary_unary(
            METHOD,
            request_serializer=None,
            response_deserializer=pinecone_pb2.PineconeUpsertResponse.FromString,
        )
        return self._call


def batches(vectors: Sequence[Vector]) -> Iterator[tuple[int, Sequence[Vector]]]:
    """Runs of vectors that fit one upsert, each with the position of its first; order is kept."""
    start, size = 0, 0
    for position, vector in enumerate(vectors):
        bytes_ = len(vector.id) * 4 + len(vector.values) + len(vector.metadata) + FRAMING_BYTES
        if position > start and (size + bytes_ > UPSERT_BYTES or position - start == UPSERT_VECTORS):
            yield start, vectors[start:position]
            start, size = position, 0
        size += bytes_
    if start < len(vectors):
        yield start, vectors[start:]

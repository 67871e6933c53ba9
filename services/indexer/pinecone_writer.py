"""The hot path into Pinecone: upserts packed by real bytes, sent as they lie, checked by what was written.

Vectors stay the float32 bytes that OpenAI's answer held: a packed `repeated float` and these bytes are the same on the
wire. Nothing settles on hope: an upsert counts when Pinecone says how many it wrote.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import grpc
import prometheus_client
import pydantic
import structlog
import tenacity
from vectorline.v1 import pinecone_pb2

from services.indexer import concurrency, pinecone_client, pinecone_reference
from services.indexer.pinecone_batch import IndexRefused, IndexUnavailable, Vector, pack
from services.runtime import breaker, channels, failpoints, secrets

log = structlog.get_logger()

METHOD = "/VectorService/Upsert"
API_VERSION = "2025-10"

UPSERTS = prometheus_client.Counter("vectorline_pinecone_upserts", "Upserts to Pinecone.", ["outcome"])
SECONDS = prometheus_client.Histogram("vectorline_pinecone_seconds", "Seconds an upsert took.")

REFUSED = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
KEY_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
PUSH_BACK = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED})


class Upserts:
    """Writes batches of vectors into one index."""

    def __init__(
        self,
        index: pinecone_client.Pinecone,
        api_key: pydantic.SecretStr,
        deadline_seconds: float,
        *,
        by_sdk: bool = False,
    ) -> None:
        self._index = index
        self._by_sdk = by_sdk
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
        send = self._packed(namespace, vectors) if not self._by_sdk else self._by_reference(namespace, vectors)
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(IndexUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_attempt(4),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                async with self._limit.slot():
                    await check()  # after the wait for the slot: what it says must not be old when the upsert goes
                    written = await send()
                if written != len(vectors):
                    UPSERTS.labels("partial").inc()
                    raise IndexUnavailable(f"Pinecone wrote {written} of {len(vectors)} vectors.")

    def _packed(self, namespace: str, vectors: Sequence[Vector]) -> Callable[[], Awaitable[int]]:
        request = pack(vectors, namespace)
        return lambda: self._send(request)

    def _by_reference(self, namespace: str, vectors: Sequence[Vector]) -> Callable[[], Awaitable[int]]:
        async def send() -> int:
            try:
                written = await pinecone_reference.upsert(self._index, namespace, vectors, self._deadline_seconds)
            except IndexUnavailable:
                self.circuit.fail()
                raise
            self.circuit.succeed()
            return written

        return send

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

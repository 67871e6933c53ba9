"""Pinecone's gRPC, spoken by hand: upserts are sent as they lie.

Vectors stay the float32 bytes that OpenAI's answer held: a packed `repeated float` and these bytes are the same on the
wire.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc
import pydantic
from google.protobuf import struct_pb2
from vectorline.v1 import pinecone_pb2

from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import client, quota
from services.runtime import channels, failpoints, secrets

UPSERT, DELETE, FETCH = "/VectorService/Upsert", "/VectorService/Delete", "/VectorService/Fetch"
DROP = "/VectorService/DeleteNamespace"
FETCH_SECONDS = 30.0
# By either name; https://docs.pinecone.io/guides/index-data/check-data-freshness: each write to a namespace has a
# number in its log, which only grows, and queries tell up to which they see.
WRITTEN_AT = ("x-pinecone-request-lsn", "x-pinecone-lsn-committed")
API_VERSION = "2026-07"  # as the SDK's; https://docs.pinecone.io/reference/api/versioning: served for a year at least

REFUSED = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
KEY_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
# A call that ended so may have done its work.
UNANSWERED = frozenset(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    }
)
# What gRPC says where it had no connection to send by.
NOT_SENT = ("failed to connect", "Connection refused", "DNS resolution failed")
BUSY = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED})
# The namespace is not there; or it is not, or the index has no call for that, or no right of this key to more than
# deleting what is in it.
MISSING = frozenset({grpc.StatusCode.NOT_FOUND})
UNDROPPED = MISSING | {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}
# Which may be a plan's quota: HTTP's 402, 403, 412 and 429.
QUOTAS = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)


class Call(Protocol):
    """A call under way, as grpc.aio has it."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Its answer."""

    async def initial_metadata(self) -> Any:
        """What came before it."""

    async def trailing_metadata(self) -> Any:
        """What came after it."""


class Calls(NamedTuple):
    """The methods of one channel; their requests are bytes."""

    upsert: Callable[..., Call]
    delete: Callable[..., Call]
    # Its request is a message.
    fetch: Callable[..., Awaitable[pinecone_pb2.PineconeFetchResponse]]
    drop: Callable[..., Call]


class Wire:
    """One channel to the index's data plane, wherever the index is said to be at the moment."""

    def __init__(self, index: client.Pinecone, api_key: pydantic.SecretStr, deadline_seconds: float) -> None:
        self._index = index
        self._key = api_key
        self._deadline_seconds = deadline_seconds
        self._host = ""  # that was dialled
        self._channel: grpc.aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._calls: Calls | None = None
        self._opening = asyncio.Lock()
        self._unserved = False
        # An index answered here: what fails from now on is an outage, not another protocol.
        self.proved = False

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()
        await asyncio.gather(*self._closing)

    async def connected(self, seconds: float) -> bool:
        """Whether a server that speaks gRPC is there; waits for the first word on it, `seconds` at most.

        A channel is ready once the server said something in HTTP/2. A port that speaks HTTP/1.1 only never is.
        """
        await self._open()
        channel = self._channel
        assert channel is not None
        ends = {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE}
        try:
            async with asyncio.timeout(seconds):
                while (state := channel.get_state(try_to_connect=True)) not in ends:
                    await channel.wait_for_state_change(state)
        except TimeoutError:
            return False
        return state is grpc.ChannelConnectivity.READY and not self._unserved

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        """See `transport.Way`."""
        calls = await self._opened()
        failpoints.hit("indexer.before_upsert")
        answer, lsn = await self._written(calls.upsert, batch.request)
        failpoints.hit("indexer.after_upsert")
        return batches.Written(int(answer.upserted_count), lsn)

    async def delete(self, namespace: str, ids: Sequence[str]) -> int:
        """See `transport.Way`."""
        calls = await self._opened()
        request = pinecone_pb2.PineconeDeleteRequest(ids=ids, namespace=namespace)
        failpoints.hit("indexer.before_delete")
        _, lsn = await self._written(calls.delete, request.SerializeToString(), absent=MISSING)
        failpoints.hit("indexer.after_delete")
        return lsn

    async def drop(self, namespace: str) -> None:
        """See `transport.Way`."""
        calls = await self._opened()
        request = pinecone_pb2.PineconeDeleteNamespaceRequest(namespace=namespace or client.DEFAULT_NAME)
        failpoints.hit("indexer.before_drop")
        answer, _ = await self._written(calls.drop, request.SerializeToString(), absent=UNDROPPED)
        if answer is None:
            everything = pinecone_pb2.PineconeDeleteRequest(delete_all=True, namespace=namespace)
            await self._written(calls.delete, everything.SerializeToString(), absent=MISSING)
        failpoints.hit("indexer.after_drop")

    async def _opened(self) -> Calls:
        if self._calls is not None and self._host == self._index.host:
            return self._calls
        return await self._open()

    async def _written(
        self, method: Callable[..., Call], request: bytes, *, absent: frozenset[grpc.StatusCode] = frozenset()
    ) -> tuple[Any, int]:
        """The answer of a write, and where in the log it is; None: what it is about is not there, by these codes."""
        key, metadata = self._with_key()
        call = method(request, timeout=self._deadline_seconds, metadata=metadata)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            if error.code() in KEY_REFUSED:
                await secrets.renewed(self._key, key)  # the retry sends the new one, if there is one
            if error.code() in absent:
                return None, 0
            self._sort(error)
        self.proved = True
        return answer, position((*await call.initial_metadata(), *await call.trailing_metadata()))

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, batches.Record]:
        """See `transport.Way`."""
        calls = await self._opened()
        request = pinecone_pb2.PineconeFetchRequest(ids=ids, namespace=namespace)
        key, metadata = self._with_key()
        try:
            answer = await calls.fetch(request, timeout=FETCH_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:  # no such namespace
                return {}
            if error.code() in KEY_REFUSED:
                await secrets.renewed(self._key, key)
            self._unserved = self._unserved or error.code() is grpc.StatusCode.UNIMPLEMENTED
            busy = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            raise batches.unanswered(busy=busy) from error
        self.proved = True
        return {
            name: batches.Record(struct_pb2.Struct.FromString(record.metadata), record.values)
            for name, record in answer.vectors.items()
        }

    def _with_key(self) -> tuple[str, Any]:
        """The key as it is now, and what a call carries."""
        key = self._key.get_secret_value()
        return key, (("api-key", key), ("x-pinecone-api-version", API_VERSION))

    def _sort(self, error: grpc.aio.AioRpcError) -> NoReturn:
        """What is to be done about a failed call."""
        words = (error.details() or error.code().name)[:300]
        if error.code() in QUOTAS and quota.stays(words):
            self.proved = True
            raise batches.IndexExhausted(words) from error
        if error.code() in REFUSED:
            self.proved = True
            raise batches.IndexRefused(words) from error
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            self._unserved = True
        busy = error.code() in BUSY
        unanswered = error.code() in UNANSWERED and not any(each in words for each in NOT_SENT)
        raise batches.IndexUnavailable(f"{error.code().name}: {words}", busy=busy, unanswered=unanswered) from error

    async def _open(self) -> Calls:
        async with self._opening:  # or two that come first would open a channel each
            host = (await self._index.index()).host
            if self._calls is None or self._host != host:
                self._leave()
                self._host, self._channel = host, _channel(host)
                self._calls = Calls(
                    self._channel.unary_unary(
                        UPSERT,
                        request_serializer=None,
                        response_deserializer=pinecone_pb2.PineconeUpsertResponse.FromString,
                    ),
                    self._channel.unary_unary(
                        DELETE,
                        request_serializer=None,
                        response_deserializer=pinecone_pb2.PineconeDeleteResponse.FromString,
                    ),
                    self._channel.unary_unary(
                        FETCH,
                        request_serializer=pinecone_pb2.PineconeFetchRequest.SerializeToString,
                        response_deserializer=pinecone_pb2.PineconeFetchResponse.FromString,
                    ),
                    self._channel.unary_unary(
                        DROP,
                        request_serializer=None,
                        response_deserializer=pinecone_pb2.PineconeDeleteResponse.FromString,
                    ),
                )
            return self._calls

    def _leave(self) -> None:
        """The index is elsewhere now; upserts under way may end where they began."""
        if self._channel is not None:
            closing = asyncio.create_task(self._channel.close(self._deadline_seconds))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._unserved = self.proved = False


def position(metadata: Iterable[tuple[str, Any]]) -> int:
    """Where in its namespace's log a write is, by what came with its answer; 0: that does not tell."""
    told = dict(metadata)
    return next((int(told[name]) for name in WRITTEN_AT if str(told.get(name, "")).isdecimal()), 0)


def _channel(url: str) -> grpc.aio.Channel:
    """A channel to a data plane: http://host:port in plaintext, https://host[:port] by TLS."""
    scheme, _, host = url.partition("://")
    host = host.rstrip("/")
    options = (*channels.KEEPALIVE, *channels.SIZES, *channels.RECONNECT)
    if scheme == "http":
        target = host if ":" in host else f"{host}:80"
        return grpc.aio.insecure_channel(target, options=(*options, *channels.DIRECT))
    target = host if ":" in host else f"{host}:443"
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)

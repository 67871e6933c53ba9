"""Pinecone's REST, by its own SDK: the way into an index whose gRPC is closed off.

It costs about five times the CPU of `wire`, since every float becomes a Python number on its way. Tests hold the two
ways to the same records and refusals.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pinecone.errors
from google.protobuf import json_format, struct_pb2

from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import client, quota
from services.runtime import errors, failpoints

REFUSED_STATUSES = frozenset({400, 413, 422})
KEY_REFUSED_STATUSES = frozenset({401, 403})
BUSY_STATUSES = frozenset({429, 504})
# A gateway that lost whom it asked.
UNANSWERED_STATUSES = frozenset({500, 502, 504})
PAYMENT_REQUIRED = 402
QUOTA_STATUSES = frozenset({403, 412, 429})
NOT_FOUND, TOO_MANY = 404, 429
# The namespace is not there; or it is not, or the index has no call for that, or no right of this key to more than
# deleting what is in it.
MISSING, UNDROPPED = frozenset({NOT_FOUND}), frozenset({NOT_FOUND, 403, 405, 501})
# Of the ids of one fetch: they stand in its URL, and a server takes some KB of that.
FETCH_URL_BYTES = 6_000


class Rest:
    """The index's data plane as the SDK speaks it."""

    def __init__(self, index: client.Pinecone, deadline_seconds: float) -> None:
        self._index = index
        self._deadline_seconds = deadline_seconds

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        """See `transport.Way`."""
        records = [_record(vector) for vector in batch.vectors]
        answer = await self._sent("upsert", vectors=records, namespace=batch.namespace)
        told = answer.response_info
        return batches.Written(int(answer.upserted_count), (told.lsn_committed or 0) if told else 0)

    async def delete(self, namespace: str, ids: Sequence[str]) -> int:
        """See `transport.Way`."""
        failpoints.hit("indexer.before_delete")
        await self._sent("delete", absent=MISSING, ids=list(ids), namespace=namespace)
        failpoints.hit("indexer.after_delete")
        return 0  # the SDK does not hand out what a delete is answered with

    async def drop(self, namespace: str) -> None:
        """See `transport.Way`."""
        failpoints.hit("indexer.before_drop")
        if await self._sent("delete_namespace", absent=UNDROPPED, name=namespace or client.DEFAULT_NAME) is None:
            await self._sent("delete", absent=MISSING, delete_all=True, namespace=namespace)
        failpoints.hit("indexer.after_drop")

    async def _sent(self, method: str, /, *, absent: frozenset[int] = frozenset(), **arguments: Any) -> Any:
        """The answer of a method of the SDK, True if it has none; None: what it is about is not there."""
        key = ""
        try:
            # The SDK tries a failed request again, each time with its whole timeout and after a pause of up to a
            # minute: by then the task's turn may have passed on.
            async with asyncio.timeout(self._deadline_seconds):
                data, key = await self._index.data_plane()
                answer = await getattr(data, method)(**arguments, timeout=self._deadline_seconds)
                return True if answer is None else answer
        except errors.Unavailable as error:
            raise batches.IndexUnavailable(error.message) from error
        except TimeoutError as error:
            words = f"No answer within {self._deadline_seconds:g} s."
            raise batches.IndexUnavailable(words, busy=True, unanswered=True) from error
        except (pinecone.errors.ValidationError, pinecone.errors.PineconeValueError) as error:
            raise batches.IndexRefused(str(error)[:300]) from error
        except pinecone.errors.PineconeError as error:
            words, status = str(error)[:300], getattr(error, "status_code", 0)
            if status in absent:
                return None
            if status == PAYMENT_REQUIRED or (status in QUOTA_STATUSES and quota.stays(words)):
                raise batches.IndexExhausted(words) from error
            if status in REFUSED_STATUSES:
                raise batches.IndexRefused(words) from error
            if status in KEY_REFUSED_STATUSES:
                await self._index.renew_key(key)
            busy = status in BUSY_STATUSES or isinstance(error, pinecone.errors.PineconeTimeoutError)
            unanswered = not status or status in UNANSWERED_STATUSES
            raise batches.IndexUnavailable(words, busy=busy, unanswered=unanswered) from error

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, batches.Record]:
        """See `transport.Way`."""
        found: dict[str, batches.Record] = {}
        for group in _groups(ids):
            data, key = await self._index.data_plane()
            try:
                answer = await data.fetch(ids=group, namespace=namespace)
            except pinecone.errors.PineconeError as error:
                status = getattr(error, "status_code", 0)
                if status == NOT_FOUND:  # no such namespace
                    return {}
                if status == TOO_MANY:
                    raise batches.unanswered(busy=True) from error
                raise await self._index.unavailable(error, key) from error
            for name, record in answer.vectors.items():
                metadata = struct_pb2.Struct()
                metadata.update(dict(record.metadata or {}))
                found[name] = batches.Record(metadata, batches.packed(record.values))
        return found


def _groups(ids: Sequence[str]) -> Iterator[list[str]]:
    """Ids that are asked for in one URL."""
    group: list[str] = []
    room = FETCH_URL_BYTES
    for each in ids:
        room -= len(each) * 3 + len("&ids=")  # quoted at worst
        if group and room < 0:
            yield group
            group, room = [], FETCH_URL_BYTES - len(each) * 3
        group.append(each)
    if group:
        yield group


def _record(vector: batches.Vector) -> dict[str, Any]:
    return {
        "id": vector.id,
        "values": batches.floats(vector.values),
        "metadata": json_format.MessageToDict(struct_pb2.Struct.FromString(vector.metadata)),
    }

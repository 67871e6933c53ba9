"""Keys at every service: who is let in, what is refused by which name, and when to come back."""

import asyncio
import contextlib
import datetime
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from vectorline.v1 import indexer_pb2, ingest_pb2, ingest_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from services.runtime import keys
from tests.support import servers

PEPPER = "pepper-pepper-pepper"
PART = ingest_pb2.UploadRequest(filename="a.csv")


def entry(key_id: str, secret: str, *scopes: str, **more: Any) -> dict[str, Any]:
    return {"id": key_id, "hash": keys.digest(secret, PEPPER).hex(), "scopes": scopes or ("read", "ingest"), **more}


def listed(*entries: dict[str, Any]) -> dict[str, str]:
    return {"api_keys": json.dumps(entries), "api_key_pepper": PEPPER}


class Refusal:
    """What a refused caller is told."""

    code: grpc.StatusCode
    reason: str
    retry_after: str | None
    retry_seconds: float | None

    def take(self, error: grpc.aio.AioRpcError) -> None:
        trailing = dict(error.trailing_metadata() or ())
        self.code, self.retry_after = error.code(), trailing.get("retry-after")  # type: ignore[assignment]
        self.retry_seconds = None
        for detail in status_pb2.Status.FromString(trailing["grpc-status-details-bin"]).details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason = info.reason
            if detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


@contextlib.contextmanager
def refused() -> Iterator[Refusal]:
    refusal = Refusal()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield refusal
    refusal.take(caught.value)


async def test_several_keys_and_the_predecessors_are_let_in_by_their_ids() -> None:
    async with (
        servers.serving(api_key="old", **listed(entry("ann", "a1"), entry("ann", "a2"), entry("bob", "b"))) as served,
        served.tasks() as tasks,
    ):
        for secret in ("old", "a1", "a2", "b"):
            await tasks.GetTask(servers.task(), metadata=servers.key(secret))

        assert [caller.key_id for caller in served.servicers.callers] == ["default", "ann", "ann", "bob"]


@pytest.mark.parametrize("metadata", [(), servers.key("wrong"), servers.key(""), (("x-internal-token", "wrong"),)])
async def test_no_key_or_a_wrong_one_is_a_401(metadata: Any) -> None:
    async with servers.serving(api_key="right", internal_token="token") as served, served.tasks() as tasks:
        with refused() as refusal:
            await tasks.GetTask(servers.task(), metadata=metadata)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID")


async def test_an_expired_key_is_a_401_that_says_so() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    past = entry("ann", "past", expires="2026-01-01T00:00:00Z")
    async with (
        servers.serving(**listed(past, entry("ann", "good", expires=soon.isoformat()))) as served,
        served.tasks() as tasks,
    ):
        await tasks.GetTask(servers.task(), metadata=servers.key("good"))
        with refused() as refusal:
            await tasks.GetTask(servers.task(), metadata=servers.key("past"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_EXPIRED")


async def test_a_scope_opens_its_methods_only_and_admin_opens_all() -> None:
    everyone = listed(entry("r", "r", "read"), entry("i", "i", "ingest"), entry("a", "a", "admin"))
    async with servers.serving(**everyone) as served, served.tasks() as tasks:
        cancel = indexer_pb2.CancelTaskRequest(task_id="t")
        await tasks.GetTask(servers.task(), metadata=servers.key("r"))
        await tasks.CancelTask(cancel, metadata=servers.key("i"))
        await tasks.CancelTask(cancel, metadata=servers.key("a"))
        await tasks.GetTask(servers.task(), metadata=servers.key("a"))
        with refused() as reading:
            await tasks.GetTask(servers.task(), metadata=servers.key("i"))
        with refused() as cancelling:
            await tasks.CancelTask(cancel, metadata=servers.key("r"))

    assert reading.reason == cancelling.reason == "SCOPE_MISSING"
    assert reading.code == grpc.StatusCode.PERMISSION_DENIED


async def test_no_key_opens_an_internal_method_and_the_token_does() -> None:
    async with (
        servers.serving(api_key="k", internal_token="token") as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
        asked = ledger_pb2.GetTaskRecordRequest(task_id="t")
        with refused() as refusal:
            await ledger.GetTaskRecord(asked, metadata=servers.key("k"))
        await ledger.GetTaskRecord(asked, metadata=(("x-internal-token", "token"),))

    assert refusal.reason == "INTERNAL_ONLY"
    assert served.servicers.callers[0].internal


async def test_the_token_is_none_behind_the_gateway_even_if_it_let_one_through() -> None:
    """As a certificate is none there; the gateway adds the header to every call of its callers."""
    forwarded = (("x-internal-token", "token"), ("x-forwarded-for", "192.0.2.1"))
    async with (
        servers.serving(api_key="k", internal_token="token") as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
        with refused() as refusal:
            await ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"), metadata=forwarded)
        with refused() as without_key:
            await ledger.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"), metadata=forwarded[1:])

    assert refusal.reason == without_key.reason == "INTERNAL_ONLY"
    assert not served.servicers.callers


async def test_a_key_over_its_rate_is_a_429_that_says_when_to_come_back() -> None:
    slow = entry("ann", "a", limits={"requests_per_second": 0.05})
    async with servers.serving(**listed(slow, entry("bob", "b"))) as served, served.tasks() as tasks:
        began = time.monotonic()
        await tasks.GetTask(servers.task(), metadata=servers.key("a"))
        with refused() as refusal:
            await tasks.GetTask(servers.task(), metadata=servers.key("a"))
        left = 20 - (time.monotonic() - began)
        for _ in range(5):
            await tasks.GetTask(servers.task(), metadata=servers.key("b"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUESTS_QUOTA_EXCEEDED")
    assert left <= refusal.retry_seconds <= 20
    assert math.ceil(left) <= int(refusal.retry_after) <= 20


async def test_an_upload_over_the_rate_is_refused_without_its_body() -> None:
    limits = {"requests_per_second": 0.1}
    answered = asyncio.Event()

    async def held_back() -> AsyncIterator[ingest_pb2.UploadRequest]:
        """Not sent before the answer: what is being sent while it comes ends as INTERNAL in grpc's own client."""
        await answered.wait()
        yield PART

    async with (
        servers.serving(**listed(entry("ann", "a", limits=limits))) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        ingest: Any = ingest_pb2_grpc.IngestServiceStub(channel)
        await ingest.Upload(iter([PART]), metadata=servers.key("a"))
        try:
            with refused() as refusal:
                await ingest.Upload(held_back(), metadata=servers.key("a"), timeout=60)
        finally:
            answered.set()

    assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert served.servicers.upload_parts == 1

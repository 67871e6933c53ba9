"""Canaries: values that must never be in a log, sent every way that a caller can send them."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import structlog
from vectorline.v1 import indexer_pb2, ingest_pb2

from services.runtime import keys, logs, secrets, settings
from tests.support import chunks, servers

KEY, SECOND, WRONG = "vl_canary_key", "vl_canary_second", "vl_canary_wrong"
TOKEN, PEPPER = "canary-internal-token", "canary-pepper-of-16"
ROW = "canary row text of a customer"
CANARIES = (KEY, SECOND, WRONG, TOKEN, PEPPER, ROW, keys.digest(SECOND, PEPPER).hex())


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """All that a process prints, with the line's own configuration of logs."""
    before = structlog.get_config()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        logs.configure(settings.ProcessSettings(log_level="DEBUG"), "test")
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(out), cache_logger_on_first_use=False)
        yield out
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)


async def test_no_log_holds_a_key_a_secret_or_row_text(printed: io.StringIO) -> None:
    listed = [{"id": "ann", "hash": keys.digest(SECOND, PEPPER).hex(), "scopes": ["read"]}]
    chosen = {"api_key": KEY, "internal_token": TOKEN, "api_key_pepper": PEPPER, "api_keys": json.dumps(listed)}
    async with servers.serving(**chosen) as served, grpc.aio.insecure_channel(served.address) as channel:
        tasks: Any = served.tasks(channel)
        async with tasks as called:
            for secret in (KEY, SECOND, WRONG):
                await over(called.GetTask(servers.task(), metadata=servers.key(secret)))
            await over(called.GetTask(servers.task(f"break {ROW}"), metadata=servers.key(KEY)))
            await over(called.GetTask(servers.task(ROW), metadata=(("x-internal-token", TOKEN),)))
            await over(called.GetTask(servers.task(ROW), metadata=(("x-internal-token", f"{TOKEN}?"),)))
            await over(called.CancelTask(indexer_pb2.CancelTaskRequest(task_id=ROW), metadata=servers.key(SECOND)))
            ingest = channel.unary_unary(
                "/vectorline.v1.IngestService/Process",
                request_serializer=ingest_pb2.ProcessRequest.SerializeToString,
                response_deserializer=ingest_pb2.ProcessResponse.FromString,
            )
            await over(ingest(ingest_pb2.ProcessRequest(s3_key=ROW), metadata=servers.key(KEY)))
            # A call is journalled after its caller has the answer.
            await chunks.eventually(lambda: printed.getvalue().count("Served a call.") >= 8)

    said = printed.getvalue()
    assert said.count("Served a call.") == 8
    assert "ValueError" in said  # the broken call was logged, by kind and place
    assert "tests/support/servers.py" in said
    assert not [canary for canary in CANARIES if canary in said]


async def over(call: Any) -> None:
    """The call, however it ends."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call


def test_settings_print_no_secret() -> None:
    process = settings.ProcessSettings.model_validate({"api_key": KEY, "internal_token": TOKEN, "api_keys": SECOND})

    shown = f"{process!r} {process} {process.model_dump()} {process.model_dump_json()}"

    assert not [canary for canary in CANARIES if canary in shown]


def test_a_live_secret_prints_asterisks() -> None:
    async def look() -> None:
        """Nowhere."""

    live = secrets.LiveSecret(KEY, look)
    live.renew(SECOND)

    assert not [canary for canary in CANARIES if canary in f"{live!r} {live}"]


def test_an_exception_is_told_by_its_kinds_and_places_with_words_only_of_the_outside() -> None:
    try:
        try:
            int(ROW)
        except ValueError as cause:
            raise ConnectionError("valkey is away") from cause
    except ConnectionError:
        line = logs.frames(None, "", {"exc_info": sys.exc_info()})

    told = line["exception"]
    assert told.startswith("ConnectionError: valkey is away\n")
    assert "\ncaused by ValueError\n" in told
    assert "test_canary.py" in told
    assert ROW not in told

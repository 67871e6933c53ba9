"""What callers are told when a call fails: our status with its details, and nothing of our insides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2

from services.runtime import errors, identity
from services.runtime.interceptors import around, failures, journal
from tests.support.one_method import METHOD, served


class Binding(around.Around):
    """As auth does: binds a caller around the call."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        metadata = dict(context.invocation_metadata() or ())
        token = identity.bind(identity.Caller(str(metadata.get("who", "")), frozenset()))
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):
                identity.unbind(token)


INTERCEPTORS = [journal.Journal(), failures.Failures(), Binding()]


def details(error: grpc.aio.AioRpcError) -> tuple[status_pb2.Status, dict[str, Any]]:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata() or ())[failures.STATUS_DETAILS])
    found: dict[str, Any] = {}
    for each in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            unpacked = kind()
            if each.Unpack(unpacked):
                found[kind.__name__] = unpacked
    return status, found


BAD = errors.InvalidArgument(
    "It is wrong.",
    reason="WRONG",
    metadata={"a": "b"},
    violations=(errors.FieldViolation("x", "no"), errors.FieldViolation("y", "no")),
    retry_seconds=2.5,
)


async def test_a_service_error_becomes_a_status_with_its_details() -> None:
    async def call(request: bytes, context: Any) -> bytes:
        raise BAD

    async with served(INTERCEPTORS, "unary_unary", call) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "It is wrong."
    status, found = details(caught.value)
    assert (status.code, status.message) == (3, "It is wrong.")
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == ("WRONG", "vectorline")
    assert dict(found["ErrorInfo"].metadata) == {"a": "b"}
    assert [each.field for each in found["BadRequest"].field_violations] == ["x", "y"]
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 2_500
    assert dict(caught.value.trailing_metadata() or ())["retry-after"] == "3"


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
async def test_an_error_after_the_first_message_of_a_stream_has_its_details_too(kind: str) -> None:
    async def call(request: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        if kind == "stream_stream":
            async for _ in request:  # grpc.aio says INTERNAL where the end meets a client that still sends
                pass
        raise BAD

    async with served(INTERCEPTORS, kind, call) as ask:
        stream = ask(b"") if kind == "unary_stream" else ask(iter([b""]))
        assert await stream.read() == b"first"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value)[1]["ErrorInfo"].reason == "WRONG"


@pytest.mark.parametrize("kind", ["unary_unary", "stream_unary", "unary_stream"])
async def test_an_unexpected_exception_leaks_nothing_but_an_incident(kind: str) -> None:
    async def once(request: Any, context: Any) -> bytes:
        raise ZeroDivisionError("secret: /etc/passwd")

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        raise ZeroDivisionError("secret: /etc/passwd")

    with structlog.testing.capture_logs() as lines:
        async with served(INTERCEPTORS, kind, stream if kind == "unary_stream" else once) as ask:

            async def outcome() -> None:
                if kind == "unary_stream":
                    async for _ in ask(b""):
                        pass
                else:
                    await ask(iter([b""]) if kind == "stream_unary" else b"")

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await outcome()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    status, found = details(caught.value)
    incident = found["ErrorInfo"].metadata["incident"]
    assert incident in status.message
    assert "secret" not in str(caught.value)
    assert "secret" not in str(status)
    (line,) = [each for each in lines if each.get("action") == "internal_error"]
    assert line["incident"] == incident


async def test_the_words_of_a_service_behind_are_passed_on() -> None:
    async def behind(request: bytes, context: Any) -> bytes:
        raise BAD

    async with served(INTERCEPTORS, "unary_unary", behind) as inner:

        async def call(request: bytes, context: Any) -> bytes:
            answer: bytes = await inner(b"")
            return answer

        async with served(INTERCEPTORS, "unary_unary", call) as ask:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(b"")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(caught.value)[1]["ErrorInfo"].reason == "WRONG"
    assert dict(caught.value.trailing_metadata() or ())["retry-after"] == "3"


@pytest.mark.parametrize(
    "raised", [errors.Unauthenticated("Missing or wrong API key."), errors.PermissionDenied("Internal only."), None]
)
async def test_a_service_behind_that_is_away_or_does_not_know_us_is_unavailable(raised: Exception | None) -> None:
    async def behind(request: bytes, context: Any) -> bytes:
        assert raised is not None
        raise raised

    async with (
        served(INTERCEPTORS, "unary_unary", behind) as inner,
        grpc.aio.insecure_channel("127.0.0.1:1") as nowhere,
    ):
        asked = inner if raised is not None else nowhere.unary_unary(METHOD)

        async def call(request: bytes, context: Any) -> bytes:
            answer: bytes = await asked(b"")
            return answer

        async with served(INTERCEPTORS, "unary_unary", call) as ask:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(b"")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert details(caught.value)[0].message == "A part of the line does not answer now."


async def test_a_thousand_bad_fields_still_arrive() -> None:
    async def call(request: bytes, context: Any) -> bytes:
        violations = tuple(errors.FieldViolation(f"texts[{n}]", "wrong " * 500) for n in range(2_048))
        raise errors.InvalidArgument("wrong " * 5_000, violations=violations)

    async with served(INTERCEPTORS, "unary_unary", call) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    violations = details(caught.value)[1]["BadRequest"].field_violations
    assert violations[0].field == "texts[0]"
    assert violations[-1].description == f"And {2_048 - (len(violations) - 1)} more."


async def test_who_calls_is_known_throughout_a_stream_and_by_no_other_call() -> None:
    both = asyncio.Barrier(2)
    seen: dict[str, set[str]] = {}

    async def call(request: bytes, context: Any) -> AsyncIterator[bytes]:
        who = request.decode()
        for _ in range(3):
            seen.setdefault(who, set()).add(identity.current().key_id)
            await both.wait()  # the two streams take turns
            yield b"."

    async with served(INTERCEPTORS, "unary_stream", call) as ask:

        async def read(who: str) -> None:
            async for _ in ask(who.encode(), metadata=(("who", who),)):
                pass

        await asyncio.gather(read("ann"), read("bob"))
    assert seen == {"ann": {"ann"}, "bob": {"bob"}}
    with pytest.raises(errors.Unauthenticated):
        identity.current()


async def test_a_stream_that_its_caller_leaves_is_ended_and_counted_as_cancelled() -> None:
    ended = asyncio.Event()

    async def call(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"."
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    def count() -> float:
        return float(journal.CALLS.labels(METHOD, "CANCELLED")._value.get())

    before = count()
    async with served(INTERCEPTORS, "unary_stream", call) as ask:
        stream = ask(b"")
        assert await stream.read() == b"."
        stream.cancel()
        async with asyncio.timeout(30):
            await ended.wait()
            while count() == before:
                await asyncio.sleep(0.01)


async def test_an_abort_of_the_handlers_own_stands() -> None:
    async def call(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")
        return b""

    async with served(INTERCEPTORS, "unary_unary", call) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "mine")

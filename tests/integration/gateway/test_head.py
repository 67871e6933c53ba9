"""HEAD, wherever there is GET: the head of its answer, and nothing behind it."""

import time
from typing import Any

import httpx
import pytest

from tests.integration.gateway import http2, sockets

MESSAGES = ["/api/v1/health", "/api/v1/status/t-1", "/api/v1/tasks?limit=3", "/api/v1/status/unknown"]
FILES = ["/api/v1/openapi.json", "/api/v1/docs"]


@pytest.mark.parametrize("path", [*MESSAGES, *FILES])
def test_head_is_answered_as_get_without_content(rest: httpx.Client, path: str) -> None:
    asked, told = rest.head(path), rest.get(path)

    assert asked.status_code == told.status_code
    for name in ("content-type", "x-next-page-token", "cache-control"):
        assert asked.headers.get(name) == told.headers.get(name)
    assert told.content
    assert not asked.content


@pytest.mark.parametrize("path", MESSAGES)
def test_nothing_follows_a_head_on_the_wire(gateway: Any, path: str) -> None:
    """A byte too many would be taken for the beginning of the next answer."""
    request = b"HEAD " + path.encode() + sockets.HEAD + b"Connection: close\r\n\r\n"
    (answer,) = sockets.all_answers(gateway.port, [request])

    assert answer.partition(b"\r\n\r\n")[2] == b""

    headers, content = http2.ask(gateway.port, "HEAD", path)
    assert headers[":status"] == answer.split()[1].decode()
    assert content == b""


@pytest.mark.parametrize("stream", ["watch", "rejects", "rejects?format=jsonl"])
@pytest.mark.parametrize(("task", "status"), [("slow", 200), ("unknown", 404)])
def test_head_of_a_stream_tells_the_status_and_starts_none(
    rest: httpx.Client, upstream: Any, stream: str, task: str, status: int
) -> None:
    before = upstream.servicers.calls["WatchTask"] + upstream.servicers.calls["GetRejects"]
    since = time.monotonic()
    answer = rest.head(f"/api/v1/status/{task}/{stream}")

    assert (answer.status_code, answer.content) == (status, b"")
    assert time.monotonic() - since < 3, "the streams of this task last four seconds"
    assert upstream.servicers.calls["WatchTask"] + upstream.servicers.calls["GetRejects"] == before


@pytest.mark.parametrize(("path", "status", "allow"), [("/api/v1/process", 405, "POST"), ("/api/v1/nope", 404, None)])
def test_head_where_there_is_no_get_is_refused_as_get_is(
    rest: httpx.Client, path: str, status: int, allow: str | None
) -> None:
    answer = rest.head(path)

    assert (answer.status_code, answer.headers.get("allow"), answer.content) == (status, allow, b"")

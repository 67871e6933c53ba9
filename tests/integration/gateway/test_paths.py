"""Paths and requests that mean to be read in two ways: each is read in one, or refused in the form of all errors."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.gateway import sockets

SECOND = b"GET /api/v1/status/smuggled" + sockets.HEAD + b"\r\n"
UNCLEAR = (
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    b"Content-Length: 2, 40\r\n\r\n{}",
    b"Content-Length: +2\r\n\r\n{}",
    b"Content-Length: -2\r\n\r\n{}",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}",
    b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n{}",
    b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 2\r\n\r\n{}",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
)
POST = b"POST /api/v1/process" + sockets.HEAD


def get(port: int, target: bytes, method: bytes = b"GET") -> tuple[int, bytes]:
    """Status and body of a request for exactly this target."""
    answer = sockets.first_answer(port, method + b" " + target + sockets.HEAD + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (b"/api/v1/./status/t-7", "t-7"),
        (b"/api//v1/status/x/../t-7", "t-7"),
        (b"/api/v1/nope/%2e%2e/status/t-7", "t-7"),
        (b"/../../api/v1/status/t-7", "t-7"),
        (b"\\api\\v1\\x\\..\\status\\t-7", None),
        (b"/api\\v1\\x\\..\\status\\t-7", "t-7"),
        (b"http://elsewhere/api/v1/x/../status/t-7", "t-7"),
        (b"/api/v1/status/t-7;a=b", "t-7;a=b"),
        (b"/api/v1/status/t-7%3Fpage_token=x", "t-7?page_token=x"),
        (b"/api/v1/status/t-7%23x", "t-7#x"),
        (b"/api/v1/status/t%252F7", "t%2F7"),
        (b"/api/v1/status/t%0d%0aX-Internal-Token:7", "t\r\nX-Internal-Token:7"),
        (b"/api/v1/status/gr%C3%B6%C3%9Fe%F0%9F%98%80", "gr\u00f6\u00dfe\U0001f600"),
    ],
)
def test_a_path_is_read_in_one_way(gateway: Any, seen: Any, target: bytes, task: str | None) -> None:
    seen.request = None
    status, _ = get(gateway.port, target)

    assert status == (200 if task else 400)
    assert (seen.request and seen.request.task_id) == task


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/api/v1/status/../../../../etc/passwd", 404),
        (b"/api/v1/..;/status/t-7", 404),
        (b"/x/%2e%2e/vectorline.v1.IndexerService/Query", 404),
        (b"/api/v1/status/t%2F7", 400),
        (b"/api/v1/status/t%5c7", 400),
        (b"/api/v1/status/t%00", 400),
        (b"/api/v1/status/t\x00", 400),
        (b"/api/v1/status/t#x", 400),
        (b"/api/v1/status/a b", 400),
        (b"/api/v1/status/\xff", 400),
        (b"https://elsewhere/api/v1/status/t-7", 403),
        (b"/api/v1/status/" + b"a" * 70_000, 431),
        (b"*", 400),
    ],
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(
    gateway: Any, upstream: Any, target: bytes, status: int
) -> None:
    before = upstream.servicers.calls.total()
    answered, body = get(gateway.port, target)

    assert answered == status
    assert set(json.loads(body)) == {"code", "message", "details"}
    assert upstream.servicers.calls.total() == before


NO_TEXT = [
    (b"GET", b"/api/v1/status/%ff", b""),
    (b"GET", b"/api/v1/status/%c0%af", b""),  # an overlong slash
    (b"GET", b"/api/v1/status/%ed%a0%80", b""),  # half a surrogate pair
    (b"GET", b"/api/v1/status/%c3%c3%b6%b6", b""),  # a letter within what is none
    (b"GET", b"/api/v1/status/%f4%90%80%80", b""),  # beyond U+10FFFF
    (b"DELETE", b"/api/v1/task/%ff", b""),
    (b"GET", b"/api/v1/tasks?page_token=%ff", b""),  # answers with a stream
    (b"GET", b"/api/v1/status/%ff/watch", b""),
    (b"GET", b"/api/v1/status/%ff/rejects", b""),
    (b"POST", b"/api/v1/upload/%ff.csv", b"id,formatted_text"),  # asks with one
    (b"POST", b"/api/v1/upload/a.csv?namespace=%ff", b"id,formatted_text"),
    (b"POST", b"/api/v1/process", b'{"s3_key": "\xff"}'),
    (b"POST", b"/api/v1/process", b'{"s3_key": "\xed\xa0\x80"}'),
]


@pytest.mark.parametrize(("method", "target", "body"), NO_TEXT)
def test_what_is_not_utf_8_is_a_400_wherever_it_stands(
    gateway: Any, upstream: Any, method: bytes, target: bytes, body: bytes
) -> None:
    before = upstream.servicers.calls.total()
    length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    answer = sockets.first_answer(gateway.port, method + b" " + target + sockets.HEAD + length + body)

    head, _, told = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400"
    assert json.loads(told)["code"] == 3
    assert set(json.loads(told)) == {"code", "message", "details"}
    assert upstream.servicers.calls.total() == before


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"CONNECT", b"127.0.0.1:9901", 403),
        (b"CONNECT", b"/api/v1/status/t-7", 400),
        (b"TRACE", b"/api/v1/status/t-7", 405),
        (b"OPTIONS", b"/api/v1/tasks", 405),
        (b"OPTIONS", b"*", 404),
        (b"get", b"/api/v1/status/t-7", 400),
        (b"BREW", b"/api/v1/status/t-7", 400),
    ],
)
def test_a_method_that_is_not_the_apis_reaches_no_service(
    gateway: Any, upstream: Any, method: bytes, target: bytes, status: int
) -> None:
    before = upstream.servicers.calls.total()
    answered, body = get(gateway.port, target, method)

    assert answered == status
    assert set(json.loads(body)) == {"code", "message", "details"}
    assert upstream.servicers.calls.total() == before


def test_a_request_cannot_hide_in_the_body_of_another(gateway: Any, upstream: Any) -> None:
    """Lengths that two readers could take differently end the connection, and what follows is not read."""
    before = upstream.servicers.calls.total()

    all_answers = sockets.all_answers(gateway.port, [POST + framing + SECOND for framing in UNCLEAR])

    for framing, answers in zip(UNCLEAR, all_answers, strict=True):
        assert answers.count(b"HTTP/1.1 ") == 1, framing
        assert answers.split()[1] in {b"400", b"501"}, framing
        assert b'"details"' in answers, framing
    assert upstream.servicers.calls.total() == before


def test_an_upgrade_to_another_protocol_does_not_happen(gateway: Any, upstream: Any) -> None:
    """h2c would pass by everything that is checked here; the answer comes in the protocol of the question."""
    settings = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    answer = sockets.first_answer(gateway.port, b"GET /api/v1/status/t-7" + sockets.HEAD + settings)
    assert answer.startswith(b"HTTP/1.1 200")

    before = upstream.servicers.calls.total()
    websocket = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = sockets.first_answer(gateway.port, b"GET /api/v1/status/t-7" + sockets.HEAD + websocket)
    assert answer.startswith(b"HTTP/1.1 403")
    assert upstream.servicers.calls.total() == before


def test_trailers_do_not_become_headers(gateway: Any, seen: Any) -> None:
    body = b"Transfer-Encoding: chunked\r\nTE: trailers\r\n\r\n2\r\n{}\r\n0\r\nx-internal-token: t\r\n\r\n"
    answer = sockets.first_answer(gateway.port, POST + body)

    assert answer.startswith(b"HTTP/1.1 202")
    assert "x-internal-token" not in seen.metadata


def test_a_header_value_cannot_begin_another_header(gateway: Any, seen: Any) -> None:
    target = b"GET /api/v1/status/t-7" + sockets.HEAD

    sockets.first_answer(gateway.port, target + b"A: b\rX-Internal-Token: t\r\n\r\n")
    assert "x-internal-token" not in seen.metadata
    assert sockets.first_answer(gateway.port, target + b"A: b\x00c\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_a_caller_cannot_have_the_gateways_own_word_dropped(gateway: Any, upstream: Any) -> None:
    """The services tell callers from each other's calls by x-forwarded-for; a hop may drop what Connection names."""
    before = upstream.servicers.calls.total()
    request = b"GET /api/v1/status/t-7" + sockets.HEAD + b"Connection: x-forwarded-for\r\n\r\n"

    assert sockets.first_answer(gateway.port, request).startswith(b"HTTP/1.1 400")
    assert upstream.servicers.calls.total() == before


def test_a_method_cannot_be_overridden_by_a_header(rest: httpx.Client, upstream: Any) -> None:
    before = upstream.servicers.calls["CancelTask"]

    assert rest.get("/api/v1/task/t-7", headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 405
    assert upstream.servicers.calls["CancelTask"] == before

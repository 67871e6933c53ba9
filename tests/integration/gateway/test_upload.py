"""Uploads of any size flow through; nothing holds them."""

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

MIB = 1024 * 1024


def body(mebibytes: int) -> Iterator[bytes]:
    block = b"0123456789abcdef" * (MIB // 16)
    for _ in range(mebibytes):
        yield block


def test_options_are_query_parameters_and_reach_the_first_message(rest: httpx.Client, seen: Any) -> None:
    answer = rest.post(
        "/api/v1/upload/sales%202026.csv",
        params={"question_id": 3, "namespace": "v3", "metadata_columns": ["a", "b"], "text_template": "{a}: {b}"},
        content=b"id,a\n1,2\n",
    )

    assert answer.status_code == 202
    assert seen.request.filename == "sales 2026.csv"
    assert (seen.request.question_id, seen.request.namespace) == (3, "v3")
    assert list(seen.request.metadata_columns) == ["a", "b"]
    assert seen.request.text_template == "{a}: {b}"
    assert seen.request.body.data == b"id,a\n1,2\n"


@pytest.mark.parametrize("name", ["r&d + 50%.csv", "größe 表.csv.gz", "a'b\"c;d=e?.csv"])
def test_a_file_may_be_called_anything(rest: httpx.Client, seen: Any, name: str) -> None:
    assert rest.post(f"/api/v1/upload/{urllib.parse.quote(name)}", content=b"id\n").status_code == 202
    assert seen.request.filename == name


def test_a_gzip_body_arrives_as_it_is_and_says_so(rest: httpx.Client, seen: Any) -> None:
    packed = b"\x1f\x8b not really gzip"
    rest.post("/api/v1/upload/a.csv", content=packed, headers={"Content-Encoding": "gzip"})

    assert seen.metadata["content-encoding"] == "gzip"
    assert seen.request.body.data == packed


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "text/csv", "application/json"])
def test_the_content_type_arrives(rest: httpx.Client, seen: Any, kind: str) -> None:
    assert rest.post("/api/v1/upload/a.csv", content=b"id\n", headers={"Content-Type": kind}).status_code == 202
    assert (seen.request.body.content_type, seen.request.body.data) == (kind, b"id\n")


def test_a_servicer_names_415_for_a_body_that_it_does_not_read(rest: httpx.Client) -> None:
    answer = rest.post("/api/v1/upload/a.csv", data={"id": "1"})
    assert answer.status_code == 415
    assert answer.json()["details"][0]["reason"] == "UNSUPPORTED_MEDIA_TYPE"


def test_an_empty_body_still_brings_its_options(rest: httpx.Client, seen: Any) -> None:
    answer = rest.post("/api/v1/upload/empty.csv", params={"question_id": 7}, content=b"")

    assert answer.status_code == 202
    assert (seen.request.filename, seen.request.question_id, seen.upload_bytes) == ("empty.csv", 7, 0)


def test_200_mebibytes_pass_in_small_messages_through_little_memory(
    rest: httpx.Client, gateway: Any, seen: Any
) -> None:
    before = gateway.resident_bytes()
    seen.gate.clear()  # the servicer does not read: Envoy must make the sender wait
    sent = 0

    def counted() -> Iterator[bytes]:
        nonlocal sent
        for block in body(200):
            sent += len(block)
            yield block

    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, gateway.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    answers: list[httpx.Response] = []
    uploader = threading.Thread(
        target=lambda: answers.append(rest.post("/api/v1/upload/large.csv", content=counted(), timeout=90))
    )
    uploader.start()
    try:
        held = settled(lambda: sent)
        seen.gate.set()
        uploader.join(90)
    finally:
        seen.gate.set()
        done.set()
        watcher.join()
        uploader.join(90)

    assert held < 60 * MIB  # most of it was still with the sender while nobody read
    assert answers[0].status_code == 202
    assert seen.upload_bytes == 200 * MIB
    assert seen.largest_message <= 2 * MIB
    assert peak - before < 60 * MIB


def settled(read: Any, quiet_seconds: float = 1.0) -> int:
    """The value once it has not changed for a while."""
    value, since = read(), time.monotonic()
    deadline = since + 30
    while time.monotonic() - since < quiet_seconds:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        if (now := read()) != value:
            value, since = now, time.monotonic()
    return int(value)


def test_a_refused_upload_is_answered_without_being_read(gateway: Any) -> None:
    """A sender of 5 GB hears the refusal after a few of them."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as caller:
        head = f"POST /api/v1/upload/refused.csv HTTP/1.1\r\nHost: x\r\nContent-Length: {5 << 30}\r\n\r\n"
        with contextlib.suppress(ConnectionError):  # it is closed a second after the refusal
            caller.sendall(head.encode() + b"x" * (3 * MIB))
        answer = caller.recv(65536)

    assert answer.startswith(b"HTTP/1.1 429")
    assert b'"QUOTA"' in answer


@pytest.mark.parametrize("expects", ["100-continue"])
def test_a_caller_that_asks_before_it_sends_is_told_to_go_on(gateway: Any, expects: str) -> None:
    """curl does so for every body over 1 MB."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as caller:
        head = f"POST /api/v1/upload/a.csv HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: {expects}\r\n\r\n"
        caller.sendall(head.encode())
        assert caller.recv(65536).startswith(b"HTTP/1.1 100")
        caller.sendall(b"id\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 202")

"""Keys as REST callers meet them: the real Envoy in front of the services' own authentication."""

import asyncio
import json
import math
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway import render
from services.runtime import keys
from tests.integration.gateway.conftest import Gateway
from tests.support import servers

PEPPER = "pepper-pepper-pepper"
MIB = 1024 * 1024
UPLOAD_MIB = 5 * 1024


@pytest.fixture
async def served() -> AsyncIterator[servers.Served]:
    slow = {"requests_per_second": 0.25}
    entries = [
        {"id": "ann", "hash": keys.digest("a", PEPPER).hex(), "scopes": ["read", "ingest"], "limits": slow},
        {"id": "old", "hash": keys.digest("o", PEPPER).hex(), "scopes": ["read"], "expires": "2026-01-01T00:00:00Z"},
    ]
    async with servers.serving(api_keys=json.dumps(entries), api_key_pepper=PEPPER, api_key="k") as running:
        yield running


@pytest.fixture
async def rest(served: servers.Served, tmp_path: pathlib.Path) -> AsyncIterator[httpx.AsyncClient]:
    gateway = Gateway(tmp_path, dict.fromkeys(render.ADDRESSES, served.address))
    try:
        await asyncio.to_thread(gateway.wait_for, "/healthz", 200)
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            yield client
    finally:
        gateway.stop()


def reasons(answer: httpx.Response) -> list[str]:
    return [detail.get("reason", detail.get("retry_delay", "")) for detail in answer.json()["details"]]


@pytest.mark.parametrize("path", ["/api/v1/status/t", "/api/v1/tasks"])
async def test_a_key_over_its_rate_is_a_429_with_retry_after(rest: httpx.AsyncClient, path: str) -> None:
    began = time.monotonic()
    assert (await rest.get(path, headers={"x-api-key": "a"})).status_code == 200

    answer = await rest.get(path, headers={"x-api-key": "a"})

    left = 4 - (time.monotonic() - began)  # at least
    assert answer.status_code == 429
    assert math.ceil(left) <= int(answer.headers["retry-after"]) <= 4
    assert answer.json()["code"] == 8
    name, delay = reasons(answer)
    assert name == "REQUESTS_QUOTA_EXCEEDED"
    assert left <= float(delay.removesuffix("s")) <= 4
    assert (await rest.get(path, headers={"x-api-key": "k"})).status_code == 200


async def test_an_expired_key_is_a_401_by_name(rest: httpx.AsyncClient) -> None:
    answer = await rest.get("/api/v1/status/t", headers={"x-api-key": "o"})

    assert (answer.status_code, reasons(answer)) == (401, ["API_KEY_EXPIRED"])


async def test_an_upload_of_5_gib_over_the_rate_is_refused_unread(
    rest: httpx.AsyncClient, served: servers.Served
) -> None:
    began = time.monotonic()
    await rest.get("/api/v1/status/t", headers={"x-api-key": "a"})
    reader, writer = await asyncio.open_connection(rest.base_url.host, rest.base_url.port)
    writer.write(
        b"POST /api/v1/upload/large.csv?question_id=1 HTTP/1.1\r\nhost: gateway\r\nx-api-key: a\r\n"
        b"content-length: %d\r\n\r\n" % (UPLOAD_MIB * MIB)
    )
    sending = asyncio.create_task(send(writer))

    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    left = 4 - (time.monotonic() - began)  # at least
    sending.cancel()
    (sent,) = await asyncio.gather(sending, return_exceptions=True)
    writer.close()

    assert head.startswith(b"HTTP/1.1 429")
    assert math.ceil(left) <= int(head.partition(b"retry-after: ")[2].split()[0]) <= 4
    assert served.servicers.upload_parts == 0
    assert not isinstance(sent, int)  # it was not at its end by far


async def send(writer: Any) -> int:
    part = b"x" * MIB
    for _ in range(UPLOAD_MIB):
        writer.write(part)
        await writer.drain()
    return UPLOAD_MIB

"""Answers that are none already as HTTP, and addresses in other forms: each ends as what it is."""

import asyncio
import contextlib
import pathlib
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pydantic
import pytest

from services.embedder import settings
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from tests.support import certificates

BODY = orjson.dumps({"data": [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]})


class Raw:
    """A server that answers every request with the same bytes and then closes the connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.lines: list[str] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.lines.append(head.split(b"\r\n")[0].decode())
            if found := re.search(rb"content-length: (\d+)", head, re.IGNORECASE):
                await reader.readexactly(int(found[1]))
            writer.write(self._answer)
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Raw"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()


async def embed(url: str, **chosen: Any) -> None:
    given = {"openai_base_url": url, "openai_api_key": "sk-key", "openai_model": "a-model", "embedding_dimensions": 3}
    client = openai_client.OpenAI(settings.EmbeddingSettings.model_validate({**given, **chosen}), connections=2)
    try:
        while True:
            with contextlib.suppress(openai_errors.Adapted):
                assert len(await client.embed(["a text"])) == 1
                return
    finally:
        await client.close()


def ok(*headers: bytes, body: bytes = BODY) -> bytes:
    return b"\r\n".join(
        [b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: %d" % len(body), *headers, b"", body]
    )


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", openai_errors.Invalid, "cannot be read as HTTP"),
        (ok(b"X-Debug: " + b"a" * 20_000), openai_errors.Invalid, "cannot be read as HTTP"),
        (ok(b"Content-Encoding: gzip"), openai_errors.Invalid, "cannot be read as HTTP"),
        (b"", openai_errors.Unanswered, "disconnected"),
        (ok()[:-10], openai_errors.Unanswered, "payload"),
    ],
)
async def test_what_is_no_http_is_sorted_too(answer: bytes, kind: type[Exception], words: str) -> None:
    async with Raw(answer).running() as server:
        with pytest.raises(openai_errors.Failed, match=words) as caught:
            await embed(f"http://127.0.0.1:{server.port}/v1")
        assert type(caught.value) is kind


async def test_nobody_there_is_told_as_that_and_was_not_paid() -> None:
    with pytest.raises(openai_errors.Failed, match="Cannot connect to host") as caught:
        await embed("http://127.0.0.1:1/v1")
    assert not caught.value.maybe_billed


async def test_a_certificate_that_nobody_trusts_blocks_and_says_so(tmp_path: pathlib.Path) -> None:
    files = certificates.Authority(tmp_path / "ca").sign("elsewhere")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files["tls_cert_file"], files["tls_key_file"])
    async with Raw(ok()).running(tls) as server:
        with pytest.raises(openai_errors.AccountRefused, match=r"certificate is not to be trusted.*SSL_CERT_FILE"):
            await embed(f"https://127.0.0.1:{server.port}/v1")
        assert not server.lines, "it was not given the key"


@pytest.mark.parametrize(
    ("base", "version", "line"),
    [
        ("/v1/", None, "/v1/embeddings"),
        ("", None, "/embeddings"),
        (
            "/openai/deployments/x?api-version=2024-02-01",
            None,
            "/openai/deployments/x/embeddings?api-version=2024-02-01",
        ),
        ("/openai/deployments/x?a=b", "2024-10-21", "/openai/deployments/x/embeddings?a=b&api-version=2024-10-21"),
    ],
)
async def test_what_the_base_url_holds_is_kept(base: str, version: str | None, line: str) -> None:
    async with Raw(ok()).running() as server:
        await embed(f"http://127.0.0.1:{server.port}{base}", openai_api_version=version)
        assert server.lines == [f"POST {line} HTTP/1.1"]


def test_a_base_url_names_no_user() -> None:
    with pytest.raises(pydantic.ValidationError, match="must not name a user or a password"):
        settings.EmbeddingSettings.model_validate(
            {"openai_base_url": "https://me:secret@server/v1", "openai_api_key": "sk-key"}
        )

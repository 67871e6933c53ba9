"""The OpenAI client against the real stand-in: each of its faults becomes what is to be done about it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import numpy as np
import pydantic
import pytest
import structlog
from aiohttp import test_utils, web

from services.embedder import settings
from services.embedder.buying import proof
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from tests.support import openai as stand_in

KEY = "sk-the-right-key-000000"
TEXTS = ["a blond archer from Marvel", "an annual financial report", "a second archer"]


class Provider:
    """The stand-in and a client of it."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.clients: list[openai_client.OpenAI] = []

    def client(self, **chosen: Any) -> openai_client.OpenAI:
        given = {"openai_base_url": f"{self.url}/v1", "openai_api_key": KEY, "embedding_dimensions": 256, **chosen}
        made = openai_client.OpenAI(settings.EmbeddingSettings.model_validate(given), connections=4)
        self.clients.append(made)
        return made

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    async def faults(self, *rules: dict[str, Any]) -> None:
        async with self.http.put(f"{self.url}/_sandbox/faults", json=list(rules)) as answer:
            assert answer.status == 200, await answer.text()

    async def requests(self) -> int:
        async with self.http.get(f"{self.url}/_sandbox/requests?limit=0") as answer:
            return int((await answer.json())["summary"]["requests"])


Start = Callable[..., Awaitable[Provider]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def run(**config: Any) -> Provider:
            url = await stack.enter_async_context(stand_in.serving(**config))
            provider = Provider(url, await stack.enter_async_context(aiohttp.ClientSession()))
            stack.push_async_callback(provider.close)
            return provider

        yield run


@pytest.fixture
async def provider(start: Start) -> Provider:
    return await start(api_key=KEY)


def vectors(answer: list[bytes]) -> Any:
    return np.frombuffer(b"".join(answer), "<f4").reshape(len(answer), -1)


async def test_embeddings_come_in_the_order_of_the_texts(provider: Provider) -> None:
    found = vectors(await provider.client().embed(TEXTS))
    assert found.shape == (3, 256)
    assert found[0] @ found[2] > found[0] @ found[1]
    alone = vectors(await provider.client().embed(TEXTS[2:]))
    np.testing.assert_allclose(alone[0], found[2], rtol=1e-5)


async def test_a_full_request_leaves_the_loop_to_others(provider: Provider) -> None:
    client = provider.client(embedding_dimensions=1536)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    ticking = asyncio.create_task(tick())
    answer = await client.embed([f"row {number} of a full request" for number in range(2_048)])
    ticking.cancel()
    assert len(answer) == 2_048
    assert ticks > 3


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"kind": "status", "body": "server_error"}, openai_errors.Failed),
        ({"kind": "status", "body": "overloaded"}, openai_errors.Failed),
        ({"kind": "status", "body": "rate_limit"}, openai_errors.Throttled),
        ({"kind": "status", "body": "rate_limit", "retry_after": "absent"}, openai_errors.Throttled),
        ({"kind": "status", "body": "rate_limit", "retry_after": "absurd"}, openai_errors.Throttled),
        ({"kind": "status", "body": "insufficient_quota"}, openai_errors.AccountRefused),
        ({"kind": "status", "body": "invalid_api_key"}, openai_errors.AccountRefused),
        ({"kind": "status", "body": "model_not_found"}, openai_errors.AccountRefused),
        ({"kind": "status", "body": "no_access"}, openai_errors.AccountRefused),
        ({"kind": "bad_row", "match_text": "archer"}, openai_errors.Refused),
        ({"kind": "reset"}, openai_errors.Failed),
        ({"kind": "reset", "after_work": True}, openai_errors.Failed),
        ({"kind": "truncate"}, openai_errors.Failed),
        ({"kind": "html"}, openai_errors.Invalid),
        ({"kind": "missing"}, openai_errors.Invalid),
        ({"kind": "wrong_dimension"}, openai_errors.Invalid),
        ({"kind": "nan"}, openai_errors.Invalid),
        ({"kind": "zero_vector"}, openai_errors.Invalid),
    ],
)
async def test_a_fault_is_sorted_and_the_next_request_is_good(
    provider: Provider, rule: dict[str, Any], verdict: type[Exception]
) -> None:
    client = provider.client()
    await client.embed(TEXTS)  # before that a refusal might be for a parameter
    await provider.faults({**rule, "times": 1})
    with structlog.testing.capture_logs() as lines, pytest.raises(verdict) as caught:
        await client.embed(TEXTS)
    assert KEY not in str(caught.value)
    assert not lines
    if isinstance(caught.value, openai_errors.Throttled):
        assert 0 < caught.value.seconds <= 120
    assert len(await client.embed(TEXTS)) == 3
    assert await provider.requests() == 3, "the SDK itself retries nothing"


async def test_shuffled_answers_are_put_in_order(provider: Provider) -> None:
    client = provider.client()
    whole = await client.embed(TEXTS)
    await provider.faults({"kind": "shuffle", "times": 1})
    np.testing.assert_allclose(vectors(await client.embed(TEXTS)), vectors(whole), rtol=1e-5)


@pytest.mark.parametrize("rule", [{"kind": "hang"}, {"kind": "delay", "delay_ms": 60_000}])
async def test_a_hung_request_ends_at_its_deadline(provider: Provider, rule: dict[str, Any]) -> None:
    client = provider.client(openai_timeout_seconds=0.3)
    await provider.faults(rule)
    began = time.monotonic()
    with pytest.raises(openai_errors.Failed):
        await client.embed(TEXTS)
    assert time.monotonic() - began < 300


async def test_a_server_that_drips_ends_at_the_deadline_too() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await reader.read(1_000)
        writer.close()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as http:
        client = Provider(f"http://127.0.0.1:{port}", http).client(openai_timeout_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(openai_errors.Failed):
            await client.embed(TEXTS)
        assert time.monotonic() - began < 30
        await client.close()
        async with asyncio.timeout(30):
            await left.wait()
    server.close()
    await server.wait_closed()


async def test_nobody_there_is_a_failure() -> None:
    async with aiohttp.ClientSession() as http:
        client = Provider("http://127.0.0.1:1", http).client()
        with pytest.raises(openai_errors.Failed):
            await client.embed(TEXTS)
        await client.close()


async def test_a_wrong_key_concerns_the_account_and_is_not_repeated_to_anybody(provider: Provider) -> None:
    with pytest.raises(openai_errors.AccountRefused) as caught:
        await provider.client(openai_api_key="sk-the-wrong-key-111111").embed(TEXTS)
    assert "sk-the-wrong-key-111111" not in str(caught.value)


async def test_a_model_that_does_not_exist_is_no_rows_fault(provider: Provider) -> None:
    with pytest.raises(openai_errors.AccountRefused, match=r"HTTP 404 from http://[^ ]+/v1/embeddings: The model"):
        await provider.client(openai_model="text-embedding-4-none").embed(TEXTS)


async def test_a_dimension_that_the_model_does_not_have_is_no_rows_fault(provider: Provider) -> None:
    client = provider.client(embedding_dimensions=4_000)

    async def permit() -> None:
        pass

    with pytest.raises(openai_errors.AccountRefused, match="1536 values came where 4000"):
        await proof.probe(client, permit)  # type: ignore[arg-type]


async def test_ada_is_not_asked_for_dimensions(provider: Provider) -> None:
    client = provider.client(openai_model="text-embedding-ada-002", embedding_dimensions=1536)
    assert len((await client.embed(TEXTS))[0]) == 4 * 1536


async def test_nothing_is_bought_before_the_dimension_is_known(provider: Provider) -> None:
    client = provider.client(embedding_dimensions=None)
    with pytest.raises(openai_errors.Failed, match="dimension"):
        await client.embed(TEXTS)
    assert await provider.requests() == 0
    client.dimension = 512
    assert len((await client.embed(TEXTS))[0]) == 4 * 512


class Stranger:
    """A server that has nothing of our stand-in but the public description: it answers numbers, whatever was asked."""

    def __init__(self) -> None:
        self.encoding = ""
        self.chunked = False
        self.width = 3  # unless another is asked for
        self.questions: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        question = await request.json()
        self.questions.append(question)
        rest = [1.0] * (question.get("dimensions", self.width) - 3)
        embeddings = [[0.5, n, 1e-3, *rest] for n in range(len(question["input"]))]
        data = [{"object": "embedding", "index": n, "embedding": each} for n, each in enumerate(embeddings)]
        answer = web.json_response({"object": "list", "data": data})  # no model, no usage
        if self.encoding:
            answer.enable_compression(web.ContentCoding(self.encoding))
        if self.chunked:
            answer.enable_chunked_encoding()
        return answer


@contextlib.asynccontextmanager
async def asked(stranger: Stranger) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/embeddings", stranger.answer)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize(("encoding", "chunked"), [("", False), ("", True), ("gzip", False), ("deflate", True)])
async def test_a_strange_server_is_asked_in_public_words_and_understood(encoding: str, chunked: bool) -> None:
    stranger = Stranger()
    stranger.encoding, stranger.chunked = encoding, chunked
    async with asked(stranger) as url, aiohttp.ClientSession() as http:
        client = Provider(url, http).client(embedding_dimensions=3)
        found = vectors(await client.embed(TEXTS))
        await client.close()
    np.testing.assert_array_equal(found, np.array([[0.5, n, 1e-3] for n in range(3)], "<f4"))
    model = {"model": "text-embedding-3-small", "dimensions": 3, "encoding_format": "base64"}
    assert stranger.questions == [{**model, "input": TEXTS}]


async def test_a_width_that_the_index_has_not_is_asked_for_by_name() -> None:
    """An Azure deployment may have any name: that its model can shorten its vectors shows when they come."""
    stranger = Stranger()
    stranger.width = 1_536
    async with asked(stranger) as url, aiohttp.ClientSession() as http:
        client = Provider(url, http).client(openai_model="embeddings", embedding_dimensions=None)
        client.dimension = 3
        with pytest.raises(openai_errors.Adapted):
            await client.embed(TEXTS)
        assert len((await client.embed(TEXTS))[0]) == 4 * 3
        await client.close()
    assert [question.get("dimensions") for question in stranger.questions] == [None, 3]


async def test_the_probe_costs_what_it_says() -> None:
    from services.embedder.buying import tokens  # noqa: PLC0415 (loads the encoding)

    assert tokens.count([openai_client.PROBE_TEXT]) == [openai_client.PROBE_TOKENS]


async def test_the_key_is_a_secret(provider: Provider) -> None:
    client = provider.client(openai_api_key=pydantic.SecretStr(KEY))
    assert KEY not in repr(vars(client))

"""The stand-in, driven by the real OpenAI SDK over a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import numpy as np
import openai
import orjson
import pytest

from tests.support import openai as stand_in
from tests.support import processes

SMALL = "text-embedding-3-small"


class Server:
    """One stand-in on a free port, with a client of each kind."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.sdk = openai.AsyncOpenAI(api_key="sk-sandbox-key", base_url=f"{url}/v1", max_retries=0, timeout=10)

    async def create(self, given: Any = "hello", model: str = SMALL, **more: Any) -> Any:
        return await self.sdk.embeddings.create(model=model, input=given, **more)

    async def faults(self, *rules: dict[str, Any]) -> None:
        async with self.http.put(f"{self.url}/_sandbox/faults", json=list(rules)) as answer:
            assert answer.status == 200, await answer.text()

    async def summary(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/_sandbox/requests?limit=0") as answer:
            found: dict[str, Any] = (await answer.json())["summary"]
            return found


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def run(**config: Any) -> Server:
            url = await stack.enter_async_context(stand_in.serving(**config))
            server = Server(url, await stack.enter_async_context(aiohttp.ClientSession()))
            stack.push_async_callback(server.sdk.close)
            return server

        yield run


@pytest.fixture
async def server(start: Start) -> Server:
    return await start()


# What it answers


async def test_floats_and_base64_are_the_same_numbers(server: Server) -> None:
    texts = ["blond archer", "annual financial report"]
    as_floats = await server.create(texts, encoding_format="float")
    raw = await server.sdk.embeddings.with_raw_response.create(model=SMALL, input=texts, encoding_format="base64")
    body = await raw.http_response.aread()
    document = orjson.loads(body)
    for one, other in zip(as_floats.data, document["data"], strict=True):
        numbers = np.frombuffer(base64.b64decode(other["embedding"]), "<f4")
        assert np.array_equal(np.array(one.embedding, np.float32), numbers)
    assert [item.index for item in as_floats.data] == [0, 1]
    assert as_floats.usage.prompt_tokens == as_floats.usage.total_tokens == 7
    assert as_floats.model == SMALL
    assert raw.headers["openai-model"] == SMALL
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 0


@pytest.mark.parametrize(
    ("model", "dimensions", "width"),
    [
        (SMALL, None, 1536),
        (SMALL, 256, 256),
        ("text-embedding-3-large", None, 3072),
        ("text-embedding-ada-002", None, 1536),
    ],
)
async def test_models_and_widths(server: Server, model: str, dimensions: int | None, width: int) -> None:
    answer = await server.create(["a"], model, **({"dimensions": dimensions} if dimensions else {}))
    assert len(answer.data[0].embedding) == width


async def test_a_large_request_is_worked_on_while_others_are_answered(server: Server) -> None:
    large = asyncio.create_task(server.create([f"row {n} of a large request" for n in range(2048)]))
    async with server.http.get(f"{server.url}/healthz") as answer:
        assert answer.status == 200
    assert len((await large).data) == 2048


async def test_models_are_listed(server: Server) -> None:
    assert [model.id async for model in await server.sdk.models.list()] == [
        SMALL,
        "text-embedding-3-large",
        "text-embedding-ada-002",
    ]
    assert (await server.sdk.models.retrieve(SMALL)).object == "model"
    with pytest.raises(openai.NotFoundError, match="The model 'nope' does not exist"):
        await server.sdk.models.retrieve("nope")


# What it refuses


async def test_keys(start: Start) -> None:
    server = await start(api_key="sk-expected")
    with pytest.raises(openai.AuthenticationError) as wrong:
        await server.create()
    assert wrong.value.code == "invalid_api_key"
    assert wrong.value.body == {
        "message": "Incorrect API key provided: sk-s******-key. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    async with server.http.post(f"{server.url}/v1/embeddings", json={}) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["message"].startswith("You didn't provide an API key.")
    assert (await server.sdk.with_options(api_key="sk-expected").embeddings.create(model=SMALL, input="a")).data


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ("", {}, r"'\$.input' is invalid"),
        (["a", ""], {}, r"'\$.input' is invalid"),
        (["a"] * 2049, {}, "array length must be 2048 or less"),
        (["a", " a" * 8193], {}, r"Invalid 'input\[1\]': maximum input length is 8192 tokens\."),
        ([" a" * 8000] * 38, {}, "Requested 304000 tokens, max 300000 tokens per request"),
        ("a", {"dimensions": 1537}, "Must be less than or equal to 1536"),
        ("a", {"dimensions": 8, "model": "text-embedding-ada-002"}, "does not support specifying dimensions"),
    ],
)
async def test_bad_requests(server: Server, given: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        await server.create(given, **more)


async def test_an_unknown_model(server: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `nope` does not exist") as caught:
        await server.create(model="nope")
    assert caught.value.code == "model_not_found"


async def test_unknown_paths_and_methods(server: Server) -> None:
    async with server.http.get(f"{server.url}/v1/embeddings") as answer:
        assert answer.status == 405
    async with server.http.post(f"{server.url}/v1/nope") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == "Invalid URL (POST /v1/nope)"


async def test_a_body_that_is_too_large_or_no_json(start: Start) -> None:
    server = await start(max_body_bytes=100)
    for body, status in ((b"x" * 200, 413), (b"{", 400)):
        headers = {"Authorization": "Bearer k"}
        async with server.http.post(f"{server.url}/v1/embeddings", data=body, headers=headers) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["type"] == "invalid_request_error"


# Rates


async def test_requests_above_the_rate_are_refused(start: Start) -> None:
    server = await start(requests_per_minute=2)
    raw = await server.sdk.embeddings.with_raw_response.create(model=SMALL, input="a")
    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    await server.create()
    with pytest.raises(openai.RateLimitError, match=r"Limit 2, Used 2, Requested 1\.") as caught:
        await server.create(model="text-embedding-3-large")
    assert "for text-embedding-3-large in" in caught.value.message
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert 0 < int(caught.value.response.headers["retry-after-ms"]) <= 30_000
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert (await server.summary())["too_many_requests"] == 1


async def test_tokens_above_the_rate_are_refused(start: Start) -> None:
    server = await start(tokens_per_minute=10)
    await server.create([[1] * 8])
    with pytest.raises(openai.RateLimitError, match=r"\(TPM\): Limit 10, Used [78], Requested 8\.") as caught:
        await server.create([[1] * 8])
    assert caught.value.type == "tokens"
    assert caught.value.response.headers["x-ratelimit-limit-tokens"] == "10"


# Faults


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ("server_error", openai.InternalServerError, None),
        ("overloaded", openai.InternalServerError, None),
        ("rate_limit", openai.RateLimitError, "rate_limit_exceeded"),
        ("insufficient_quota", openai.RateLimitError, "insufficient_quota"),
        ("invalid_api_key", openai.AuthenticationError, "invalid_api_key"),
        ("no_access", openai.PermissionDeniedError, "model_not_found"),
        ("model_not_found", openai.NotFoundError, "model_not_found"),
        ("invalid_input", openai.BadRequestError, None),
    ],
)
async def test_scripted_statuses(
    server: Server, body: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    await server.faults({"kind": "status", "body": body, "times": 1})
    with pytest.raises(error) as caught:
        await server.create()
    assert caught.value.code == code
    assert (await server.create()).data
    assert (await server.summary())["inputs_bought"] == 1


@pytest.mark.parametrize(("rule", "bought"), [({}, 0), ({"after_work": True}, 1)])
async def test_a_reset_connection(server: Server, rule: dict[str, Any], bought: int) -> None:
    await server.faults({"kind": "reset", "times": 1, **rule})
    with pytest.raises(openai.APIConnectionError):
        await server.create()
    summary = await server.summary()
    assert summary["inputs_bought"] == bought
    assert summary["by_status"] == {"0": 1}
    assert summary["by_fault"] == {"reset": 1}


async def test_half_a_body(server: Server) -> None:
    await server.faults({"kind": "truncate", "times": 1})
    with pytest.raises((openai.APIConnectionError, openai.APIResponseValidationError)):
        await server.create(["a"] * 100)
    assert (await server.summary())["inputs_bought"] == 100


async def test_no_answer_at_all(server: Server) -> None:
    await server.faults({"kind": "hang"})
    with pytest.raises(openai.APITimeoutError):
        await server.create(timeout=0.2)


async def test_a_late_answer(server: Server) -> None:
    await server.faults({"kind": "delay", "delay_ms": 50})
    raw = await server.sdk.embeddings.with_raw_response.create(model=SMALL, input="a")
    assert int(raw.headers["openai-processing-ms"]) >= 50


async def test_a_page_of_html(server: Server) -> None:
    await server.faults({"kind": "html"})
    raw = await server.sdk.embeddings.with_raw_response.create(model=SMALL, input="a")
    assert raw.headers["content-type"].startswith("text/html")
    assert "<html>" in raw.text


async def test_a_missing_embedding(server: Server) -> None:
    await server.faults({"kind": "missing"})
    assert len((await server.create(["a", "b", "c"])).data) == 2


async def test_a_shuffled_answer_is_complete(server: Server) -> None:
    texts = [f"text {n}" for n in range(20)]
    right = await server.create(texts)
    await server.faults({"kind": "shuffle"})
    shuffled = await server.create(texts)
    assert [item.index for item in shuffled.data] != list(range(20))
    assert sorted(shuffled.data, key=lambda item: item.index) == right.data


async def test_vectors_that_must_not_be_stored(server: Server) -> None:
    await server.faults(
        {"kind": "wrong_dimension", "times": 1}, {"kind": "nan", "times": 1}, {"kind": "zero_vector", "times": 1}
    )
    assert len((await server.create(["a"])).data[0].embedding) == 1535
    assert np.isnan((await server.create(["a"])).data[0].embedding).any()
    assert not np.any((await server.create(["a"])).data[0].embedding)


async def test_a_bad_row_is_found_by_bisecting(server: Server) -> None:
    await server.faults({"kind": "bad_row", "match_text": "poison"})
    with pytest.raises(openai.BadRequestError, match="is invalid"):
        await server.create(["good", "poison"])
    assert (await server.create(["good"])).data


async def test_rules_can_be_seen_and_cleared_and_wrong_ones_are_refused(server: Server) -> None:
    await server.faults({"kind": "html", "times": 1})
    await server.sdk.embeddings.with_raw_response.create(model=SMALL, input="a")
    async with server.http.get(f"{server.url}/_sandbox/faults") as answer:
        assert [(rule["kind"], rule["fired"]) for rule in (await answer.json())["rules"]] == [("html", 1)]
    async with server.http.delete(f"{server.url}/_sandbox/faults") as answer:
        assert answer.status == 204
    for body in ('[{"kind": "nope"}]', '{"seed": 1}', "7", "{"):
        async with server.http.put(f"{server.url}/_sandbox/faults", data=body) as answer:
            assert answer.status == 400


# The journal


async def test_the_log_of_requests(server: Server) -> None:
    await server.create(["a", "b"])
    await server.create(["b"])
    async with server.http.get(f"{server.url}/_sandbox/requests?since=1") as answer:
        document = await answer.json()
    assert document["summary"]["repeated_inputs"] == 1
    assert document["summary"]["max_requests_in_1s"] in (1, 2)
    (visit,) = document["requests"]
    assert (visit["number"], visit["inputs"], visit["tokens"], visit["status"]) == (2, 1, 1, 200)
    assert visit["seconds"] >= 0
    async with server.http.delete(f"{server.url}/_sandbox/requests"):
        pass
    assert (await server.summary())["requests"] == 0


# The process


def test_the_program_says_when_it_is_ready_and_ends_on_sigterm() -> None:
    environment = {**os.environ, "SANDBOX_OPENAI_COUNT_TOKENS": "estimate"}
    command = [sys.executable, "-m", "sandbox.openai", "--port", "0"]
    with processes.running(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        ready = process.stdout.readline().strip()
        assert ready.startswith("openai stand-in listening on http://127.0.0.1:")
        url = ready.rpartition(" ")[2]
        with openai.OpenAI(api_key="k", base_url=f"{url}/v1") as client:
            assert client.embeddings.create(model=SMALL, input="abcdefgh").usage.prompt_tokens == 2
        rule = urllib.request.Request(f"{url}/_sandbox/faults", b'[{"kind":"hang"}]', method="PUT")
        with urllib.request.urlopen(rule) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0

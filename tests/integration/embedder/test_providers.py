"""2,000 rows through the real client, packing and retries, to servers that speak OpenAI's API in their own way."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest

from sandbox.openai import dialects
from services.embedder import settings
from services.embedder.buying import interactive, packing, pending_batch
from services.embedder.buying.pending_batch import PendingBatch, Reason
from services.embedder.openai import client as openai_client
from services.runtime import errors
from tests.support import openai as stand_in
from tests.support.buying import Buying, complete, opened

KEY = "sk-the-right-key-000000"
BAD = "a row that it cannot take"


class Server:
    """The stand-in in a dialect, and a line that buys from it."""

    def __init__(self, url: str, dialect: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.way = dialects.DIALECTS[dialect]
        self.width = self.way.model.dimensions if self.way.model else 1_536
        self._http = http

    def client(self, **chosen: Any) -> openai_client.OpenAI:
        path = self.way.path.removesuffix("/embeddings").format(deployment="text-embedding-3-small")
        given: dict[str, Any] = {"openai_base_url": self.url + path, "openai_api_key": KEY}
        if self.way.model:
            given["openai_model"] = self.way.model.name
        if self.way.needs_version:
            given["openai_api_version"] = "2024-10-21"
        return openai_client.OpenAI(settings.EmbeddingSettings.model_validate({**given, **chosen}), connections=20)

    async def faults(self, *rules: dict[str, Any]) -> None:
        async with self._http.put(f"{self.url}/_sandbox/faults", json=list(rules)) as answer:
            assert answer.status == 200, await answer.text()

    async def told(self) -> dict[str, Any]:
        async with self._http.get(f"{self.url}/_sandbox/requests") as answer:
            found: dict[str, Any] = await answer.json()
            return found


@contextlib.asynccontextmanager
async def serving(dialect: str) -> AsyncIterator[Server]:
    async with stand_in.serving(dialect=dialect, api_key=KEY) as url, aiohttp.ClientSession() as http:
        yield Server(url, dialect, http)


@contextlib.asynccontextmanager
async def line(server: Server, **chosen: Any) -> AsyncIterator[Buying]:
    """A line with a client whose index has the width of the server's model, unless another is chosen."""
    client = server.client(**chosen)
    client.dimension = client.dimension or server.width
    try:
        async with opened(client, pack=packing.RequestSize()) as buying:  # type: ignore[arg-type]
            yield buying
    finally:
        await client.close()


def rows(count: int, name: str = "row") -> list[str]:
    return [f"{name} {number} of a table with archers and reports" for number in range(count)]


def assert_bought(batch: PendingBatch, width: int, *, but: int = 0) -> None:
    assert batch.dropped is None, batch.dropped
    assert len(batch.refusals) == but
    vectors = [vector for vector in batch.vectors if vector is not None]
    assert len(vectors) == len(batch.texts) - but
    lengths = np.linalg.norm(np.frombuffer(b"".join(vectors), "<f4").reshape(-1, width), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-3)


@pytest.mark.parametrize("dialect", dialects.DIALECTS)
async def test_two_thousand_rows_are_bought_in_requests_that_it_takes(dialect: str) -> None:
    async with serving(dialect) as server, line(server) as buying:
        batches = [buying.batch(rows(1_000, str(number))) for number in range(2)]
        await complete(*batches, seconds=120)
        for batch in batches:
            assert_bought(batch, server.width)
        told = await server.told()
        assert told["summary"]["repeated_inputs"] == 0, "nothing is paid for twice"
        most = server.way.most_inputs or 2_048
        refused = [visit for visit in told["requests"] if visit["status"] != 200]
        assert len(refused) <= 12, "what was learned is remembered"
        assert max(visit["inputs"] for visit in told["requests"]) <= most
        bought = [visit["inputs"] for visit in told["requests"] if visit["status"] == 200]
        assert len(bought) <= 2 * -(-1_000 // most) + 4, "and requests are filled"


@pytest.mark.parametrize("dialect", ["vllm", "tei", "litellm", "ollama", "localai", "cohere"])
async def test_a_dimension_that_was_configured_though_it_cannot_be_chosen_does_no_harm(dialect: str) -> None:
    async with serving(dialect) as server, line(server, embedding_dimensions=server.width) as buying:
        batch = buying.batch(rows(50))
        await complete(batch, seconds=60)
        assert_bought(batch, server.width)


@pytest.mark.parametrize("dialect", ["vllm", "tei", "litellm", "ollama", "localai", "cohere"])
async def test_a_width_that_the_model_has_not_blocks_and_says_so(dialect: str) -> None:
    async with serving(dialect) as server, line(server, embedding_dimensions=512) as buying:
        batch = buying.batch(rows(50))
        await complete(batch, seconds=60)
        assert batch.dropped is not None
        assert batch.dropped.reason is Reason.ACCOUNT_REFUSED
        assert not batch.refusals
        blocked = await buying.limiter.blocked()
        assert f"Embeddings of {server.width} values came where 512 were asked for" in blocked


@pytest.mark.parametrize(
    ("dialect", "rule"),
    [
        ("ollama", {"kind": "status", "body": "not_a_number", "match_text": BAD}),
        ("vllm", {"kind": "status", "body": "server_error", "match_text": BAD}),
    ],
)
async def test_a_text_that_always_fails_is_one_reject(
    dialect: str, rule: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.embedder.buying.trials.RETRY_LONGEST_SECONDS", 0.2)
    async with serving(dialect) as server, line(server) as buying:
        await server.faults(rule)
        batch, other = buying.batch([*rows(300), BAD]), buying.batch(rows(300, "another task's"))
        await complete(batch, other, seconds=120)
        assert_bought(batch, server.width, but=1)
        assert_bought(other, server.width)
        assert batch.refusals[300].reason == pending_batch.UNUSABLE


@pytest.mark.parametrize(
    ("dialect", "text"), [("tei", "word " * 700), ("vllm", "word " * 9_000), ("localai", "word " * 700)]
)
async def test_a_text_that_is_too_long_for_the_model_is_one_reject(
    dialect: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.embedder.buying.trials.RETRY_LONGEST_SECONDS", 0.2)
    async with serving(dialect) as server, line(server) as buying:
        batch = buying.batch([*rows(100), text, *rows(100, "more")])
        await complete(batch, seconds=120)
        assert_bought(batch, server.width, but=1)
        assert 100 in batch.refusals


@pytest.mark.parametrize(
    ("dialect", "body", "words"),
    [
        ("litellm", "budget_exceeded", "HTTP 400 from {url}: Budget has been exceeded!"),
        ("gemini", "key_not_valid", "API key not valid. Please pass a valid API key."),
        ("cohere", "forbidden", "HTTP 403: Forbidden"),
        ("vllm", "model_not_found", "HTTP 404 from {url}: The model"),
        ("openai", "insufficient_quota", "You exceeded your current quota"),
    ],
)
async def test_an_account_that_ends_in_mid_load_blocks_and_rejects_no_row(dialect: str, body: str, words: str) -> None:
    async with serving(dialect) as server, line(server) as buying:
        first = buying.batch(rows(500))
        await complete(first, seconds=60)
        assert_bought(first, server.width)
        await server.faults({"kind": "status", "body": body})
        rest = buying.batch(rows(1_500, "rest"))
        await complete(rest, seconds=60)
        assert not rest.refusals
        assert rest.dropped is not None
        assert rest.dropped.reason is Reason.ACCOUNT_REFUSED
        assert words.format(url=server.url + server.way.path) in await buying.limiter.blocked()


async def test_a_deployment_that_does_not_exist_blocks_and_names_the_url() -> None:
    async with serving("azure") as server:
        url = f"{server.url}/openai/deployments/nobody"
        async with line(server, openai_base_url=url) as buying:
            batch = buying.batch(rows(10))
            await complete(batch, seconds=60)
            blocked = await buying.limiter.blocked()
            assert f"HTTP 404 from {url}/embeddings: The API deployment for this resource does not exist." in blocked


async def test_a_search_that_a_firewall_dislikes_is_refused_alone() -> None:
    async with serving("openai") as server, line(server) as buying:
        await server.faults({"kind": "status", "body": "forbidden", "match_text": "<script>"})
        search = interactive.Interactive(buying.source, buying.permits, buying.limiter)
        with pytest.raises(errors.InvalidArgument, match="Forbidden"):
            await search.embed(["<script>alert(1)</script>"])
        batch = buying.batch([*rows(200), "<script>"])
        await complete(batch, seconds=60)
        assert_bought(batch, 1_536, but=1)
        assert await buying.limiter.blocked() == ""


async def test_rows_go_on_when_what_blocked_is_mended() -> None:
    async with serving("gemini") as server, line(server) as buying:
        await server.faults({"kind": "status", "body": "key_not_valid"})
        blocked = buying.batch(rows(10))
        await complete(blocked, seconds=60)
        await server.faults()
        await buying.limiter.unblock()  # as the account's probe does
        again = buying.batch(rows(10))
        await complete(again, seconds=60)
        assert_bought(again, server.width)

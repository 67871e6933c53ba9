"""Servers of a few lines that answer in OpenAI's API as their handlers want, and a line that buys from them."""

import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import test_utils, web

from services.embedder import settings
from services.embedder.buying import packing
from services.embedder.buying.pending_batch import PendingBatch
from services.embedder.openai import client as openai_client
from tests.support.buying import Buying, opened

WIDTH = 3
Handler = Callable[["Stranger", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def vector(text: str) -> list[float]:
    return [1.0, float(len(text)), float(sum(text.encode()) % 1_000)]


class Stranger:
    """A server of a few lines: `handler` answers, `good` is what any answers where nothing is special."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.questions: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.questions.append(question)
        return await self._handler(self, request, question)

    @staticmethod
    def good(question: dict[str, Any]) -> web.Response:
        data = [{"index": n, "embedding": vector(text)} for n, text in enumerate(question["input"])]
        return web.json_response({"data": data})


def wrong(status: int, words: str, **fields: Any) -> web.Response:
    return web.json_response({"error": {"message": words, **fields}}, status=status)


@contextlib.asynccontextmanager
async def buying_from(
    handler: Handler, path: str = "/v1/embeddings", **chosen: Any
) -> AsyncIterator[tuple[Buying, Stranger]]:
    stranger = Stranger(handler)
    app = web.Application(client_max_size=2**26)
    app.router.add_post(path, stranger.answer)
    async with test_utils.TestServer(app) as server:
        given = {
            "openai_base_url": f"http://127.0.0.1:{server.port}/v1",
            "openai_api_key": "sk-key",
            "openai_model": "a-model",
            "embedding_dimensions": WIDTH,
            "openai_send_dimensions": False,
            "openai_timeout_seconds": 1.0,
            **chosen,
        }
        client = openai_client.OpenAI(settings.EmbeddingSettings.model_validate(given), connections=20)
        try:
            async with opened(client, pack=packing.RequestSize()) as buying:  # type: ignore[arg-type]
                yield buying, stranger
        finally:
            await client.close()


def rows(count: int, name: str = "row") -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def assert_right(batch: PendingBatch, *bad: str) -> None:
    """Each text has its own vector, but for these."""
    assert batch.dropped is None, batch.dropped
    assert {batch.texts[index] for index in batch.refusals} == set(bad)
    for index, text in enumerate(batch.texts):
        if text not in bad:
            assert batch.vectors[index] == struct.pack("<3f", *vector(text)), text

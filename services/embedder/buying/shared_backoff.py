"""Backing off together: what one request learns of the quota and the account holds for the whole line."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import prometheus_client
import structlog

from services.embedder.limiter import promise
from services.embedder.openai import answers
from services.embedder.openai import errors as openai_errors

log = structlog.get_logger()

REQUESTS = prometheus_client.Counter(
    "vectorline_openai_requests", "Requests to OpenAI, searches and probes included.", ["outcome"]
)
SECONDS = prometheus_client.Histogram("vectorline_openai_seconds", "Seconds a request took that brought embeddings.")
OUTCOMES: dict[type[Exception], str] = {
    openai_errors.Throttled: "throttled",
    openai_errors.Failed: "failed",
    openai_errors.AccountRefused: "account_refused",
    openai_errors.Refused: "refused",
}
BOUGHT = "bought"
for _outcome in (BOUGHT, *OUTCOMES.values()):
    REQUESTS.labels(_outcome)  # shown from 0 on: what is first seen at 1 has not grown, for an alarm


class Embeddings(Protocol):
    """Who is bought from; `openai.client.OpenAI`, or a fake."""

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        """One embedding a text; raises what `openai.client` documents."""


class SharedBackoff:
    """Asks OpenAI for whoever asks: bulk, a search, a probe. It spends no permit; that is its callers' business."""

    def __init__(self, source: Embeddings, limiter: promise.Limiter) -> None:
        self._source = source
        self._limiter = limiter

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        """See `Embeddings`. A 429 pauses everybody before it is raised."""
        began = time.monotonic()
        try:
            vectors = await self._source.embed(texts)
        except tuple(OUTCOMES) as error:
            REQUESTS.labels(next(word for kind, word in OUTCOMES.items() if isinstance(error, kind))).inc()
            if isinstance(error, openai_errors.Throttled):
                await self._pause(error)
            raise
        REQUESTS.labels(BOUGHT).inc()
        SECONDS.observe(time.monotonic() - began)
        return vectors

    async def block(self, refusal: openai_errors.AccountRefused) -> None:
        """The account refused just now: nobody is to ask it again until a probe finds it good."""
        try:
            await self._limiter.block(str(refusal))
        except promise.LimiterUnavailable as error:
            log.warning("The block could not be shared.", action="block_unshared", error=str(error))

    async def _pause(self, throttled: openai_errors.Throttled) -> None:
        try:
            await self._limiter.pause(
                throttled.seconds,
                tokens_exceeded=throttled.tokens_exceeded,
                limit_per_minute=throttled.limit_per_minute,
            )
        except promise.LimiterUnavailable:
            await asyncio.sleep(throttled.seconds)  # nobody else starts without the limiter either

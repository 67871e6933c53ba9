"""Buying with everybody in mind: what one request learns of the quota and the account holds for the whole line."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.embedder import limiter, openai_errors

log = structlog.get_logger()


class Embeddings(Protocol):
    """Who is bought from; `openai_client.OpenAI`, or a fake."""

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One embedding a text; raises what `openai_client` documents."""


class Sharing:
    """Asks OpenAI for whoever asks: bulk, a search, a probe. It spends no permit; that is its callers' business."""

    def __init__(self, source: Embeddings, limits: limiter.Limiter) -> None:
        self._source = source
        self._limiter = limits

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `Embeddings`. A 429 pauses everybody before it is raised."""
        try:
            return await self._source.embed(texts)
        except openai_errors.Throttled as throttled:
            await self._pause(throttled)
            raise

    async def block(self, refusal: openai_errors.AccountRefused) -> None:
        """The account refused just now: nobody is to ask it again until a probe finds it good."""
        try:
            await self._limiter.block(str(refusal))
        except limiter.LimiterUnavailable as error:
            log.warning("The block could not be shared.", action="block_unshared", error=str(error))

    async def _pause(self, throttled: openai_errors.Throttled) -> None:
        try:
            await self._limiter.pause(
                throttled.seconds,
                tokens_exceeded=throttled.tokens_exceeded,
                limit_per_minute=throttled.limit_per_minute,
            )
        except limiter.LimiterUnavailable:
            await asyncio.sleep(throttled.seconds)  # nobody else starts without the limiter either

"""Embeddings that somebody waits for: they overtake bulk in the limiter, and fail soon rather than wait for ever."""

import asyncio
from collections.abc import Sequence

from services.embedder import limiter, openai_client, packing, permits, purchasing, tokens
from services.runtime import errors

TRIES = 3
DEADLINE_SECONDS = 30.0


class Interactive:
    """Embeds a few texts at search priority."""

    def __init__(self, source: purchasing.Embeddings, permit: permits.Permits, limits: limiter.Limiter) -> None:
        self._source = source
        self._permits = permit
        self._limiter = limits

    async def embed(self, texts: Sequence[str]) -> tuple[list[bytes], int]:
        """One embedding a text (float32 little-endian) and the tokens they cost.

        Raises:
            errors.InvalidArgument: No text, too many, or one that is empty or too long.
            errors.Unavailable: The quota, the account or the provider does not allow it in time.
        """
        counts = await asyncio.to_thread(tokens.count, texts)
        _check(texts, counts)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._buy(texts, sum(counts)), sum(counts)
        except TimeoutError as error:
            raise errors.Unavailable("No embedding came in time; try again.", retry_seconds=5.0) from error

    async def _buy(self, texts: Sequence[str], cost: int) -> list[bytes]:
        for _ in range(TRIES):
            try:
                await self._permits.take(lambda: cost, search=True)
                return await self._source.embed(texts)
            except openai_client.Throttled as throttled:
                await self._pause(throttled)
            except openai_client.Failed as failed:
                await asyncio.sleep(min(failed.seconds, 1.0))
            except (permits.AccountBlocked, openai_client.AccountRefused) as refusal:
                words = "The embedding account refuses; nothing can be embedded until it is good again."
                raise errors.Unavailable(words, reason="ACCOUNT_REFUSED", retry_seconds=60.0) from refusal
            except openai_client.Refused as refused:
                raise errors.InvalidArgument(f"The embedding provider refuses the text: {refused}") from refused
        raise errors.Unavailable("The embedding provider does not answer now; try again.", retry_seconds=5.0)

    async def _pause(self, throttled: openai_client.Throttled) -> None:
        try:
            await self._limiter.pause(throttled.seconds, tokens_exceeded=throttled.tokens_exceeded)
        except limiter.LimiterUnavailable:
            return  # the next permit is not granted without it either


def _check(texts: Sequence[str], counts: Sequence[int]) -> None:
    """Name every bad text at once."""
    violations = []
    if not 1 <= len(texts) <= packing.REQUEST_INPUTS:
        violations.append(errors.FieldViolation("texts", f"Between 1 and {packing.REQUEST_INPUTS} texts."))
    for number, (text, count) in enumerate(zip(texts, counts, strict=True)):
        if not text.strip():
            violations.append(errors.FieldViolation(f"texts[{number}]", "The text is empty."))
        elif count > tokens.INPUT_TOKENS:
            words = f"The text has {count} tokens; at most {tokens.INPUT_TOKENS} are possible."
            violations.append(errors.FieldViolation(f"texts[{number}]", words))
    if sum(counts) > packing.REQUEST_TOKENS:
        words = f"{sum(counts)} tokens in all; at most {packing.REQUEST_TOKENS} go in one request."
        violations.append(errors.FieldViolation("texts", words))
    if violations:
        raise errors.InvalidArgument("The texts cannot be embedded.", violations=tuple(violations))

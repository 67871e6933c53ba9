"""Embeddings that somebody waits for: they overtake bulk in the limiter, and fail soon rather than wait for ever."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from services.embedder.buying import packing, shared_backoff, tokens
from services.embedder.limiter import permits, promise
from services.embedder.openai import errors as openai_errors
from services.runtime import errors

log = structlog.get_logger()

TRIES = 3
RETRY_SECONDS = 1.0
DEADLINE_SECONDS = 30.0


class Interactive:
    """Embeds a few texts at search priority."""

    def __init__(self, source: shared_backoff.Embeddings, permit: permits.Permits, limiter: promise.Limiter) -> None:
        self._source = shared_backoff.SharedBackoff(source, limiter)
        self._permits = permit

    async def embed(self, texts: Sequence[str]) -> tuple[list[bytes], int]:
        """One embedding a text (float32 little-endian) and the tokens they cost.

        Raises:
            errors.InvalidArgument: No text, too many, or one that is empty or too long.
            errors.Unavailable: The quota, the account or the provider does not allow it in time.
        """
        counts = await _count(texts)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._buy(texts, sum(counts)), sum(counts)
        except TimeoutError as error:
            raise self._too_late() from error

    def _too_late(self) -> errors.Unavailable:
        if self._permits.limiter_down:
            words = "The quota cannot be looked up (Valkey does not answer), and nothing is bought without it."
            return errors.Unavailable(words, reason="LIMITER_UNAVAILABLE", retry_seconds=5.0)
        return errors.Unavailable("No embedding came in time; try again.", retry_seconds=5.0)

    async def _buy(self, texts: Sequence[str], cost: int) -> list[bytes]:
        for attempt in range(TRIES):
            try:
                await self._permits.take(lambda: cost, search=True)
                return await self._source.embed(texts)
            except openai_errors.Throttled:
                continue  # the next permit comes when the pause is over
            except openai_errors.Failed as failed:
                log.warning(
                    "OpenAI did not deliver.", action="openai_retry", attempt=attempt + 1, error=str(failed)[:200]
                )
                await asyncio.sleep(min(failed.seconds, RETRY_SECONDS) or random.uniform(0.0, RETRY_SECONDS))  # noqa: S311 (jitter)
            except openai_errors.AccountRefused as refusal:
                await self._source.block(refusal)  # spare bulk the same answer
                raise _account_refuses() from refusal
            except permits.AccountBlocked as refusal:
                raise _account_refuses() from refusal
            except openai_errors.Refused as refused:
                raise errors.InvalidArgument(f"The embedding provider refuses the text: {refused}") from refused
        raise errors.Unavailable("The embedding provider does not answer now; try again.", retry_seconds=5.0)


def _account_refuses() -> errors.Unavailable:
    words = "The embedding account refuses; nothing can be embedded until it is good again."
    return errors.Unavailable(words, reason="ACCOUNT_REFUSED", retry_seconds=60.0)


async def too_long(text: str) -> str:
    """Why one text cannot be embedded, in a sentence; empty: it can."""
    if _plainly_too_long(text):
        return _words(f"{len(text):,} characters")
    (count,) = await asyncio.to_thread(tokens.count, [text])
    return _words(f"{count:,} tokens") if count > tokens.INPUT_TOKENS else ""


def _plainly_too_long(text: str) -> bool:
    return len(text) > tokens.INPUT_TOKENS * tokens.LONGEST_TOKEN_BYTES


def _words(size: str) -> str:
    return f"The text has {size}; at most {tokens.INPUT_TOKENS:,} tokens are possible."


async def _count(texts: Sequence[str]) -> list[int]:
    """Tokens of each text. Names every bad text at once; what is plainly too long is not counted first."""
    if not 1 <= len(texts) <= packing.REQUEST_INPUTS:
        raise _bad(errors.FieldViolation("texts", f"Between 1 and {packing.REQUEST_INPUTS} texts."))
    too_long = {number for number, text in enumerate(texts) if _plainly_too_long(text)}
    counts = await asyncio.to_thread(tokens.count, ["" if n in too_long else text for n, text in enumerate(texts)])
    violations = []
    for number, (text, count) in enumerate(zip(texts, counts, strict=True)):
        if number in too_long or count > tokens.INPUT_TOKENS:
            size = f"{len(text):,} characters" if number in too_long else f"{count:,} tokens"
            violations.append(errors.FieldViolation(f"texts[{number}]", _words(size)))
        elif not text.strip():
            violations.append(errors.FieldViolation(f"texts[{number}]", "The text is empty."))
    if sum(counts) > packing.REQUEST_TOKENS:
        words = f"{sum(counts):,} tokens in all; at most {packing.REQUEST_TOKENS:,} go in one request."
        violations.append(errors.FieldViolation("texts", words))
    if violations:
        raise _bad(*violations)
    return counts


def _bad(*violations: errors.FieldViolation) -> errors.InvalidArgument:
    return errors.InvalidArgument("The texts cannot be embedded.", violations=violations)

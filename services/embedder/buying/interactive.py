"""Embeddings that somebody waits for: they overtake bulk in the limiter, and fail soon rather than wait for ever."""

import asyncio
import random
from collections.abc import Sequence

import prometheus_client
import structlog

from services.embedder.buying import packing, proof, shared_backoff, tokens
from services.embedder.limiter import permits, promise
from services.embedder.openai import answers
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from services.runtime import errors
from services.runtime.tracing import spans

log = structlog.get_logger()

TRIES = 3
RETRY_SECONDS = 1.0
DEADLINE_SECONDS = 30.0
# Of these, for a permit. Where one wait had all of it, each search over the quota got its permit when its time was
# nearly up: all were paid for, none was answered.
WAIT_SECONDS = 10.0
# One that would probably wait for longer is refused when it comes, and told when to ask again.
LINE_SECONDS = 5.0

REFUSED = prometheus_client.Counter(
    "vectorline_searches_refused", "Searches refused because too many waited for the quota."
)


class Interactive:
    """Embeds a few texts at search priority.

    Args:
        known: Whether anything is bought, shared with bulk.
        counting: How the model counts.
    """

    def __init__(
        self,
        source: shared_backoff.Embeddings,
        permit: permits.Permits,
        limiter: promise.Limiter,
        *,
        known: proof.Proof | None = None,
        counting: tokens.Counting | None = None,
    ) -> None:
        self._source = shared_backoff.SharedBackoff(source, limiter)
        self._permits = permit
        self._proof = known or proof.Proof(self._source)
        self._counting = counting or tokens.Counting(tokens.OPENAI, request_limited=True, tokens_per_second=lambda: 0.0)

    async def embed(self, texts: Sequence[str], cost: int | None = None) -> tuple[list[bytes], int]:
        """One embedding a text (float32 little-endian) and the tokens they cost.

        Args:
            texts: The texts.
            cost: Their tokens, where they were counted (and found good) before.

        Raises:
            errors.InvalidArgument: No text, too many, or one that is empty or too long.
            errors.ResourceExhausted: More wait for the quota than it allows in time.
            errors.Unavailable: The account or the provider does not allow it in time.
        """
        if (expected := self._permits.search_seconds()) > LINE_SECONDS:
            raise _too_many(expected)
        if cost is None:
            cost = sum(await self._count(texts))
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                bought = await self._buy(texts, cost)
                return bought, bought.tokens or cost
        except TimeoutError as error:
            raise self._too_late() from error

    def _too_late(self) -> errors.Unavailable:
        if self._permits.limiter_down:
            words = "The quota cannot be looked up (Valkey does not answer), and nothing is bought without it."
            return errors.Unavailable(words, reason="LIMITER_UNAVAILABLE", retry_seconds=5.0)
        return errors.Unavailable("No embedding came in time; try again.", retry_seconds=5.0)

    async def _permit(self, cost: int) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._permits.take(lambda: cost, search=True)
        except TimeoutError as error:
            if self._permits.limiter_down:
                raise self._too_late() from error
            raise _too_many(self._permits.search_seconds()) from error

    async def _buy(self, texts: Sequence[str], cost: int) -> answers.Bought:
        tries = 0
        while tries < TRIES:
            try:
                return await self._attempt(texts, cost)
            except openai_errors.Adapted:  # at most once a parameter
                continue
            except openai_errors.Throttled:
                tries += 1  # the next permit comes when the pause is over
            except openai_errors.Failed as failed:
                tries += 1
                log.warning("OpenAI did not deliver.", action="openai_retry", attempt=tries, error=str(failed)[:200])
                await asyncio.sleep(min(failed.seconds, RETRY_SECONDS) or random.uniform(0.0, RETRY_SECONDS))  # noqa: S311 (jitter)
            except openai_errors.AccountRefused as refusal:
                await self._source.block(refusal)  # spare bulk the same answer
                raise _account_refuses() from refusal
            except permits.AccountBlocked as refusal:
                raise _account_refuses() from refusal
        raise errors.Unavailable("The embedding provider does not answer now; try again.", retry_seconds=5.0)

    async def _attempt(self, texts: Sequence[str], cost: int) -> answers.Bought:
        """One request. A refusal is the text's only if a harmless one is bought: else a search would block the line."""
        await self._permit(cost)
        began = self._proof.begin()
        try:
            with spans.span("OpenAI embeddings", spans.Kind.CLIENT) as span:
                span.set("texts", len(texts))
                vectors = await self._source.embed(texts)
        except openai_errors.Refused as refused:
            await self._proof.since(began, self._permit_to_probe)
            raise errors.InvalidArgument(f"The embedding provider refuses the text: {refused}") from refused
        self._proof.bought(began)
        return vectors

    async def _permit_to_probe(self) -> None:
        await self._permit(openai_client.PROBE_TOKENS)

    async def measure(self, text: str) -> tuple[int, str]:
        """A text's tokens, and why it cannot be embedded, in a sentence; empty: it can, or the provider decides."""
        cost, size = await asyncio.to_thread(self._counting.measure, text)
        return cost, _words(size)

    async def _count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text. Names every bad text at once; what is plainly too long is not counted first."""
        if not 1 <= len(texts) <= packing.REQUEST_INPUTS:
            raise _bad(errors.FieldViolation("texts", f"Between 1 and {packing.REQUEST_INPUTS} texts."))
        measured = await asyncio.to_thread(lambda: [self._counting.measure(text) for text in texts])
        violations = []
        for number, (text, (_, size)) in enumerate(zip(texts, measured, strict=True)):
            if size:
                violations.append(errors.FieldViolation(f"texts[{number}]", _words(size)))
            elif not text.strip():
                violations.append(errors.FieldViolation(f"texts[{number}]", "The text is empty."))
        counts = [cost for cost, _ in measured]
        if sum(counts) > packing.REQUEST_TOKENS:
            words = f"{sum(counts):,} tokens in all; at most {packing.REQUEST_TOKENS:,} go in one request."
            violations.append(errors.FieldViolation("texts", words))
        if violations:
            raise _bad(*violations)
        return counts


def _too_many(expected_seconds: float) -> errors.ResourceExhausted:
    REFUSED.inc()
    words = f"More searches wait for the embedding quota than it allows within {WAIT_SECONDS:.0f} s. Ask again after"
    return errors.ResourceExhausted(
        f"{words} retry-after.", reason="SEARCHES_OVER_QUOTA", retry_seconds=min(max(expected_seconds, 1.0), 60.0)
    )


def _account_refuses() -> errors.Unavailable:
    words = "The embedding account refuses; nothing can be embedded until it is good again."
    return errors.Unavailable(words, reason="ACCOUNT_REFUSED", retry_seconds=60.0)


def _words(size: str) -> str:
    """The sentence about a text of this size; "" where that is no reason."""
    return size and f"The text has {size}; at most {tokens.INPUT_TOKENS:,} tokens are possible."


def _bad(*violations: errors.FieldViolation) -> errors.InvalidArgument:
    return errors.InvalidArgument("The texts cannot be embedded.", violations=violations)

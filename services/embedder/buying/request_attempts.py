"""One request, attempt after attempt: try, retry, slow down, bisect, refuse. The one place that retries OpenAI.

An outage never fails a text: it waits. A text fails only when OpenAI refuses it and bisecting has pinned the refusal
on it, and only if OpenAI takes anything at all from us: a refusal of everything is about our configuration.
"""

import asyncio
import dataclasses
from collections.abc import Callable

import prometheus_client
import structlog
import tenacity

from services.embedder.buying import shared_backoff
from services.embedder.buying.pending_batch import PendingBatch, Reason
from services.embedder.limiter import permits, promise
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from services.runtime import breaker, failpoints, stages

log = structlog.get_logger()

EMBED = stages.Stage("embed")
TEXTS = prometheus_client.Counter("vectorline_openai_texts", "Texts of rows bought.")
TOKENS = prometheus_client.Counter("vectorline_openai_tokens", "Tokens of these texts (exact or upper bound).")

RETRY_FIRST_SECONDS = 0.5
RETRY_LONGEST_SECONDS = 20.0


class _NothingWanted(Exception):
    """All batches of a request were dropped."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """One text of a request: where it belongs."""

    batch: PendingBatch
    index: int

    @property
    def tokens(self) -> int:
        """What it costs."""
        return self.batch.tokens[self.index]


class RequestAttempts:
    """Buys the pieces of requests; what becomes of them is told to their batches.

    Args:
        refuse: Called when the account refuses, with the batches concerned.
    """

    def __init__(
        self,
        source: shared_backoff.Embeddings,
        permit: permits.Permits,
        limiter: promise.Limiter,
        refuse: Callable[[list[PendingBatch], openai_errors.AccountRefused], None],
    ) -> None:
        self._source = shared_backoff.SharedBackoff(source, limiter)
        self._permits = permit
        self._limiter = limiter
        self._refuse = refuse
        self._breaker = breaker.Breaker("openai", lambda: asyncio.get_running_loop().time())
        # OpenAI has taken something from us: our model and parameters are good.
        self._proved = False

    async def passage(self) -> None:
        """Wait until trying is worth it. To be passed before a permit is taken."""
        await self._breaker.passage()

    async def buy(self, pieces: list[Piece]) -> None:
        """Buy these pieces, holding a permit for the first attempt. Never raises but for a cancel."""
        try:
            await self._try(pieces)
        except _NothingWanted:
            return
        except openai_errors.Refused as refusal:
            await self._bisect(pieces, str(refusal))
        except openai_errors.AccountRefused as refusal:
            await self.block(_batches(pieces), refusal)
        except permits.AccountBlocked:
            await self.blocked(_batches(pieces))
        except Exception as defect:
            # A defect of ours must not leave the batches waiting for what will never come.
            log.exception("A request failed inside.", action="request_defect")
            for batch in _batches(pieces):
                batch.drop(Reason.DEFECT, defect=defect)

    async def _try(self, pieces: list[Piece]) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((openai_errors.Failed, openai_errors.Throttled)),
            wait=_wait,
            before_sleep=_tell,
        )
        async for attempt in retrying:
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    await self._again(pieces)
                await self._attempt([piece for piece in pieces if piece.batch.dropped is None])

    async def _again(self, pieces: list[Piece]) -> None:
        """Take a new permit, when the gates of all that are still wanted are fresh.

        Raises:
            _NothingWanted: None is wanted any more.
        """
        batches = _batches(pieces)

        def cost() -> int | None:
            wanted = [batch for batch in batches if batch.dropped is None]
            if not wanted:
                raise _NothingWanted
            for batch in wanted:
                batch.on_progress()  # waiting for quota is progress
            if not all(batch.fresh() for batch in wanted):
                return None
            return sum(piece.tokens for piece in pieces if piece.batch.dropped is None)

        await self._breaker.passage()
        if await self._permits.take(cost):
            for batch in batches:
                batch.rationed = True

    async def _attempt(self, pieces: list[Piece]) -> None:
        if not pieces:
            return
        texts = [piece.batch.texts[piece.index] for piece in pieces]
        try:
            vectors = await EMBED.during(self._source.embed(texts))
        except openai_errors.Failed:
            self._breaker.fail()
            raise
        except openai_errors.AccountRefused:
            self._breaker.succeed()
            raise
        except openai_errors.Refused:
            self._breaker.succeed()
            if len(pieces) == 1:
                await self._prove()
            raise
        finally:
            for batch in _batches(pieces):
                batch.on_progress()  # the provider's slowness is bounded by the request's deadline
        failpoints.hit("embedder.after_openai")
        self._proved = True
        TEXTS.inc(len(texts))
        TOKENS.inc(sum(piece.tokens for piece in pieces))
        self._breaker.succeed()
        for piece, vector in zip(pieces, vectors, strict=True):
            piece.batch.deliver(piece.index, vector)

    async def _prove(self) -> None:
        """Before a refusal is pinned on a text: is there any text that would be taken?

        Raises:
            openai_errors.AccountRefused: No: it is about our model, key or parameters, and would fail every row.
        """
        if self._proved:
            return
        await self._permits.take(lambda: openai_client.PROBE_TOKENS)
        try:
            await self._source.embed([openai_client.PROBE_TEXT])
        except openai_errors.Refused as refusal:
            raise openai_errors.AccountRefused(f"Every text is refused: {refusal}") from refusal
        self._proved = True

    async def _bisect(self, pieces: list[Piece], why: str) -> None:
        """Find the text that a refusal is about."""
        wanted = [piece for piece in pieces if piece.batch.dropped is None]
        if len(pieces) == 1:
            for piece in wanted:
                piece.batch.refuse(piece.index, why)
            return
        middle = len(wanted) // 2
        for half in (wanted[:middle], wanted[middle:]):
            if not half:
                continue
            try:
                await self._again(half)
            except _NothingWanted:
                continue
            except permits.AccountBlocked:
                await self.blocked(_batches(half))
                continue
            await self.buy(half)

    async def block(self, batches: list[PendingBatch], refusal: openai_errors.AccountRefused) -> None:
        """The account refused just now: everybody stops, and the batches' tasks become blocked."""
        await self._source.block(refusal)
        self._refuse(batches, refusal)

    async def blocked(self, batches: list[PendingBatch]) -> None:
        """Somebody found the account blocked before."""
        try:
            why = await self._limiter.blocked()
        except promise.LimiterUnavailable:
            why = ""
        self._refuse(batches, openai_errors.AccountRefused(why))


def _batches(pieces: list[Piece]) -> list[PendingBatch]:
    return list(dict.fromkeys(piece.batch for piece in pieces))


_backoff = tenacity.wait_random_exponential(multiplier=RETRY_FIRST_SECONDS, max=RETRY_LONGEST_SECONDS)


def _wait(state: tenacity.RetryCallState) -> float:
    """Full jitter, but not before the server said; after a 429 the limiter holds everybody, so not at all."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, openai_errors.Throttled):
        return 0.0
    told = error.seconds if isinstance(error, openai_errors.Failed) else 0.0
    return max(told, _backoff(state))


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "OpenAI did not deliver; the texts wait.",
        action="openai_retry",
        attempt=state.attempt_number,
        kind=type(error).__name__,
        error=str(error)[:200],
    )

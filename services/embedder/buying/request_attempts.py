"""One request, attempt after attempt: try, retry, slow down, make smaller, refuse. The one place that retries OpenAI.

An outage never fails a text: it waits. A text fails only when OpenAI refuses it, or goes on failing for it alone, while
a harmless text is bought (`proof`); a request of several that does not go through is made smaller without blaming any.
"""

import asyncio
from collections.abc import Callable, Sequence

import prometheus_client
import structlog

from services.embedder.buying import charging, pending_batch, proof, shared_backoff, sizes, slots, traced, trials
from services.embedder.buying.pending_batch import PendingBatch, Piece, Reason
from services.embedder.limiter import permits, promise
from services.embedder.openai import answers
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from services.runtime import breaker, failpoints, stages

log = structlog.get_logger()

EMBED = stages.Stage("embed")
TEXTS = prometheus_client.Counter("vectorline_openai_texts", "Texts of rows bought.")
TOKENS = prometheus_client.Counter("vectorline_openai_tokens", "Tokens that were billed for them.")

# So often in a row a single text fails, and a harmless one is bought right after, before it is given up. By accident,
# where every other request fails, that is one text in 4,000.
TRIES_ALONE = 6
# A 429 is less of a sign than a failure.
THROTTLED = 0.5


class _NothingWanted(Exception):
    """All batches of a request were dropped."""


class RequestAttempts:
    """Buys the pieces of requests; what becomes of them is told to their batches.

    Args:
        known: Whether anything is bought, shared with the searches of this process.
        size: How much requests hold; it learns from those that do not go through.
        in_flight: Requests under way at once.
        refuse: Called when the account refuses, with the batches concerned.
        count: Counts tokens exactly, for servers that do not say what they billed.
    """

    def __init__(
        self,
        source: shared_backoff.Embeddings,
        permit: permits.Permits,
        limiter: promise.Limiter,
        known: proof.Proof,
        size: sizes.Sizes,
        *,
        in_flight: int,
        refuse: Callable[[list[PendingBatch], openai_errors.AccountRefused], None],
        count: Callable[[Sequence[str]], list[int]],
    ) -> None:
        self._count = count
        self._source = shared_backoff.SharedBackoff(source, limiter)
        self._permits = permit
        self._limiter = limiter
        self._proof = known
        self._sizes = size
        self._refuse = refuse
        self._breaker = breaker.Breaker("openai", lambda: asyncio.get_running_loop().time())
        self.slots = slots.Slots(in_flight, self._breaker)

    @property
    def circuit_open(self) -> bool:
        """Whether the provider is known not to answer, and nobody tries."""
        return self._breaker.open

    @property
    def why(self) -> str:
        """Why the last requests failed, in a sentence that quotes nothing; "" since the provider answered."""
        return self._breaker.why

    async def passage(self) -> None:
        """Wait until trying is worth it. To be passed before a permit is taken."""
        await self._breaker.passage()

    async def buy(self, pieces: list[Piece], slot: slots.Slot) -> None:
        """Buy these pieces, holding a slot and a permit for the first attempt. Never raises but for a cancel."""
        try:
            await self._buy(trials.Trial(pieces, slot))
        except _NothingWanted:
            return
        except openai_errors.AccountRefused as refusal:
            await self.block(_batches(pieces), refusal)
        except permits.AccountBlocked:
            await self.blocked(_batches(pieces))
        except Exception as defect:
            # A defect of ours must not leave the batches waiting for what will never come.
            log.exception("A request failed inside.", action="request_defect")
            for batch in _batches(pieces):
                batch.drop(Reason.DEFECT, defect=defect)
        finally:
            slot.release()

    async def _buy(self, trial: trials.Trial) -> bool:
        """Attempt until nothing is open any more; whether all went through in one request."""
        while wanted := trial.wanted():
            began = self._proof.begin()
            try:
                await self._attempt(wanted, began)
            except openai_errors.Adapted as adapted:
                log.warning("A request is asked again in another form.", action="openai_adapted", why=str(adapted))
                seconds = 0.0
            except openai_errors.Partial as partial:
                await self._rest(trial, wanted, partial)
                return False
            except (openai_errors.Refused, openai_errors.Throttled, openai_errors.Failed) as error:
                wait = await self._learn(trial, wanted, began, error)
                if wait is None:
                    return False
                seconds = wait
            else:
                return True
            await self._again(trial, seconds)
        return False

    async def _learn(self, trial: trials.Trial, wanted: list[Piece], began: int, error: Exception) -> float | None:
        """What follows from an attempt: seconds to wait before the next, or None when there is none."""
        if len(wanted) > 1 and self._exceeds(wanted, error):
            await self._split(trial, wanted)
            return None
        if isinstance(error, openai_errors.Refused):
            if not await self._is_ours(trial, began, own=False):
                trial.fail(1)
                return trials.backoff(trial.failures)
            if len(wanted) > 1:
                await self._split(trial, wanted)
            else:
                _refuse(wanted, str(error), pending_batch.REFUSED)
            return None
        trial.fail(THROTTLED if isinstance(error, openai_errors.Throttled) else 1)
        _tell(error, trial.failures)
        if _is_due(trial, error) and await self._is_over(trial, wanted, began, error):
            return None
        return trials.wait(error, trial.failures)

    def _exceeds(self, wanted: list[Piece], error: Exception) -> bool:
        """Whether the answer says that the request is too large; what it says is remembered."""
        if isinstance(error, openai_errors.TooLarge):
            self._sizes.refused(wanted, inputs=error.inputs, tokens=error.tokens)
            return True
        if isinstance(error, openai_errors.Throttled) and error.too_large:
            self._sizes.exceeded(wanted, error.excess, error.limit_per_minute)
            return True
        return False

    async def _is_over(self, trial: trials.Trial, wanted: list[Piece], began: int, error: Exception) -> bool:
        """What goes on failing: make it smaller, or give up the single text, unless nothing else goes through."""
        smaller, throttled = len(wanted) > 1, isinstance(error, openai_errors.Throttled)
        if not await self._is_ours(trial, began, own=throttled or not smaller):
            trial.doubts = 0.0
        elif smaller:
            came = error.came if isinstance(error, openai_errors.TooFew) else 0
            await self._split(trial, wanted, suspect=True, most=came)
            return True
        elif trial.doubts >= TRIES_ALONE or _is_too_large(error):
            _refuse(wanted, f"It was tried {trial.failures:g} times: {error}", pending_batch.UNUSABLE)
            return True
        return False

    async def _is_ours(self, trial: trials.Trial, began: int, *, own: bool) -> bool:
        """Whether it is this request that does not go through: others do.

        Args:
            trial: What is tried; its chunks go on to be ours meanwhile.
            began: Others count that began after it.
            own: A harmless text of its own is to be bought right now.

        Raises:
            openai_errors.AccountRefused: No: nothing goes through, and that is the account's.
        """

        def cost() -> int:
            for batch in _batches(trial.pieces):
                batch.on_progress()  # waiting for quota is progress
            return openai_client.PROBE_TOKENS

        async def permit() -> None:
            await self._breaker.passage()
            await self._permits.take(cost)

        try:
            await (self._proof.probe(permit) if own else self._proof.since(began, permit))
        except openai_errors.Failed as failed:
            self._breaker.fail(failed.brief)
            return False
        except openai_errors.Throttled:
            return False
        self._breaker.succeed()
        return True

    async def _split(
        self, trial: trials.Trial, wanted: list[Piece], *, suspect: bool = False, most: int = 0, failures: float = 0.0
    ) -> None:
        """Buy them in smaller requests; if all of these go through, that is the size from now on.

        Args:
            trial: Whose slot it is.
            wanted: What it is about.
            suspect: They failed while others did not.
            most: So many went through of a request with these; 0: not known.
            failures: Of each of them so far.
        """
        suspect = suspect or trial.suspect
        left = self._sizes.parts(wanted, self._permits.tokens_per_second, most)
        tried: list[int] = []
        whole = True
        while left:
            part = left.pop(0)
            if self._sizes.exceeds(len(part)):  # learned meanwhile, by a part before it
                left[:0] = self._sizes.parts(part, self._permits.tokens_per_second)
                continue
            again = trials.Trial(part, trial.slot, suspect, failures, failures)
            tried.append(len(part))
            try:
                await self._again(again, 0.0)
            except _NothingWanted:
                continue
            whole = await self._buy(again) and whole
            if len(tried) == 2 and whole:  # one that goes through alone may just be without the text that does not
                self._sizes.proved(len(wanted), max(tried), sure=not suspect)

    async def _rest(self, trial: trials.Trial, wanted: list[Piece], partial: openai_errors.Partial) -> None:
        """Some brought nothing that can be used, their neighbours did: those are tried in smaller requests.

        Of one text that is bad it is alone; a server that gives nothing for what is over its limit finds that limit.
        """
        left = [piece for piece, vector in zip(wanted, partial.vectors, strict=True) if vector is None]
        log.warning("Some embeddings cannot be used.", action="openai_partial", texts=len(left), why=str(partial))
        trial.pieces = left
        trial.slot.release()
        await asyncio.sleep(trials.backoff(1.0))
        await self._split(trial, left, suspect=True, most=len(wanted) - len(left), failures=1.0)

    async def _again(self, trial: trials.Trial, seconds: float) -> None:
        """Wait without a slot; then take one and a permit, when the gates of all that are still wanted are fresh.

        Raises:
            _NothingWanted: None is wanted any more.
        """

        def cost() -> int | None:
            pieces = trial.wanted()
            if not pieces:
                raise _NothingWanted
            wanted = _batches(pieces)
            for batch in wanted:
                batch.on_progress()  # waiting for quota is progress
            if not all(batch.fresh() for batch in wanted):
                return None
            return sum(piece.tokens for piece in pieces)

        await trial.slot.rest(seconds)
        while cost() is None:  # the indexer may be away for long: without a slot
            trial.slot.release()
            await asyncio.sleep(permits.IDLE_SECONDS)
            if cost() is not None:
                await trial.slot.rest(0.0)
        if await self._permits.take(cost):
            for batch in _batches(trial.pieces):
                batch.rationed = True

    async def _attempt(self, pieces: list[Piece], began: int) -> None:
        """One request; what it brings is delivered, also if that is only a part."""
        texts = [piece.batch.texts[piece.index] for piece in pieces]
        try:
            with traced.request(pieces):
                vectors: answers.Bought = await EMBED.during(self._source.embed(texts))
        except openai_errors.Partial as partial:
            self._deliver(pieces, partial.vectors, began, await self._billed(texts, partial.tokens))
            raise
        except openai_errors.Adapted:
            raise
        except openai_errors.Failed as failed:
            if failed.maybe_billed:
                charging.doubt(pieces)
            self._breaker.fail(failed.brief)
            raise
        except openai_errors.Throttled as throttled:
            self._breaker.say(throttled.brief)
            raise
        except (openai_errors.AccountRefused, openai_errors.Refused):
            self._breaker.succeed()
            raise
        finally:
            for batch in _batches(pieces):
                batch.on_progress()  # the provider's slowness is bounded by the request's deadline
        failpoints.hit("embedder.after_openai")
        self._deliver(pieces, vectors, began, await self._billed(texts, vectors.tokens))

    async def _billed(self, texts: list[str], told: int | None) -> int:
        """Tokens that a request was billed for."""
        return told if told is not None else sum(await stages.to_thread(self._count, texts))

    def _deliver(self, pieces: list[Piece], vectors: Sequence[bytes | None], began: int, tokens: int) -> None:
        charging.charge(pieces, tokens, [vector is not None for vector in vectors])
        self._proof.bought(began)
        self._sizes.passed(len(pieces))
        self._breaker.succeed()
        TEXTS.inc(len(pieces))
        TOKENS.inc(tokens)
        for piece, vector in zip(pieces, vectors, strict=True):
            if vector is not None:
                piece.batch.deliver(piece.index, vector)

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


def _refuse(pieces: list[Piece], why: str, reason: str) -> None:
    """The refusal is pinned on these."""
    for piece in pieces:
        piece.batch.refuse(piece.index, why, reason)


def _is_due(trial: trials.Trial, error: Exception) -> bool:
    """Whether to find out now why it does not go through. A 200 without embeddings may have been paid for."""
    costly = len(trial.pieces) > 1 and isinstance(error, openai_errors.TimedOut | openai_errors.Invalid)
    return costly or _is_too_large(error) or trial.doubts >= trial.patience


def _is_too_large(error: Exception) -> bool:
    return isinstance(error, openai_errors.Throttled) and error.too_large


def _tell(error: Exception, failures: float) -> None:
    log.warning(
        "OpenAI did not deliver; the texts wait.",
        action="openai_retry",
        attempt=failures,
        kind=type(error).__name__,
        error=str(error)[:200],
    )

"""Buying embeddings: orders stand in a line, requests are packed from its front the moment a permit comes.

The one place that retries OpenAI. An outage never fails a text: it waits. A text fails only when OpenAI refuses it and
bisecting has pinned the refusal on it.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

import prometheus_client
import structlog
import tenacity

from services.embedder import limiter, openai_client, packing, permits
from services.embedder.order import Dropped, Order
from services.runtime import breaker, failpoints

log = structlog.get_logger()

REQUESTS = prometheus_client.Counter("vectorline_openai_requests", "Requests to OpenAI.", ["outcome"])
TEXTS = prometheus_client.Counter("vectorline_openai_texts", "Texts bought.")
TOKENS = prometheus_client.Counter("vectorline_openai_tokens", "Tokens of the texts bought (exact or upper bound).")
SECONDS = prometheus_client.Histogram("vectorline_openai_seconds", "Seconds a request to OpenAI took.")

# A request that is not full waits this long for chunks that are being decoded.
LINGER_SECONDS = 0.05
RETRY_FIRST_SECONDS = 0.5
RETRY_LONGEST_SECONDS = 20.0


class Embeddings(Protocol):
    """Who is bought from; `openai_client.OpenAI`, or a fake."""

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One embedding a text; raises what `openai_client` documents."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """One text of a request: where it belongs."""

    order: Order
    index: int


class Purchasing:
    """The line of orders and the requests in flight."""

    def __init__(
        self,
        source: Embeddings,
        permit: permits.Permits,
        limits: limiter.Limiter,
        packing_limits: packing.Limits,
        *,
        requests_in_flight: int,
    ) -> None:
        self._source = source
        self._permits = permit
        self._limiter = limits
        self._packing = packing_limits
        self._line: deque[Order] = deque()
        self._arrived = asyncio.Event()
        self._arriving = 0
        self._slots = asyncio.Semaphore(requests_in_flight)
        self._packed: list[packing.Slice[Order]] = []
        self._requests: set[asyncio.Task[None]] = set()
        self._breaker = breaker.Breaker("openai")

    def place(self, order: Order) -> None:
        """Put an order at the end of the line."""
        self._line.append(order)
        self._arrived.set()

    def withdraw(self, order: Order) -> None:
        """Take an order out of the line; what a request holds of it already is still delivered."""
        if order in self._line:
            self._line.remove(order)

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """A chunk is about to place its order: a request that is not full waits for it a moment."""
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

    async def run(self) -> None:
        """Buy for ever."""
        try:
            while True:
                await self._slots.acquire()
                try:
                    pieces = await self._next()
                except BaseException:
                    self._slots.release()
                    raise
                task = asyncio.create_task(self._fulfil(pieces))
                self._requests.add(task)
                task.add_done_callback(self._finished)
        finally:
            for task in self._requests:
                task.cancel()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            log.error("A purchase ended in a defect.", action="purchase_defect", exc_info=task.exception())

    async def _next(self) -> list[Piece]:
        """The next request, with its permit."""
        while True:
            while not self._line:
                self._arrived.clear()
                await self._arrived.wait()
            await self._breaker.passage()
            await self._linger()
            try:
                await self._permits.take(self._cost)
            except permits.AccountBlocked:
                self._refuse_account(list(self._line), openai_client.AccountRefused(await self._reason()))
                continue
            pieces = self._pop()
            if pieces:
                return pieces

    async def _linger(self) -> None:
        deadline = time.monotonic() + LINGER_SECONDS
        while self._arriving and time.monotonic() < deadline:
            waiting = sum(len(order.tokens) - order.cursor for order in self._line)
            if waiting >= self._packing.inputs:
                return
            await asyncio.sleep(0.002)

    def _cost(self) -> int | None:
        """Pack what could start now. Orders whose gate is not fresh are passed over, not waited for."""
        fresh = [order for order in self._line if order.fresh()]
        self._packed, tokens = packing.pack(fresh, self._packing)
        for order in self._line:
            order.on_progress()  # waiting for quota is progress
        return tokens if self._packed else None

    def _pop(self) -> list[Piece]:
        pieces = []
        for piece in self._packed:
            if piece.order.dropped is None and piece.order.cursor == piece.start:
                piece.order.cursor = piece.stop
                pieces += [Piece(piece.order, index) for index in range(piece.start, piece.stop)]
        self._packed = []
        done = {order for order in self._line if order.cursor == len(order.tokens) or order.dropped is not None}
        if done:
            self._line = deque(order for order in self._line if order not in done)
        return pieces

    async def _fulfil(self, pieces: list[Piece]) -> None:
        """Buy these pieces, holding a permit for the first attempt."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((openai_client.Failed, openai_client.Throttled)),
            wait=_wait,
            before_sleep=_tell,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        pieces = await self._again(pieces)
                    if pieces:
                        await self._attempt(pieces)
        except openai_client.Refused as refusal:
            await self._bisect(pieces, str(refusal))
        except (openai_client.AccountRefused, permits.AccountBlocked) as refusal:
            await self._block(pieces, str(refusal))

    async def _again(self, pieces: list[Piece]) -> list[Piece]:
        """Those still wanted, with a new permit and a fresh gate."""
        wanted: list[Piece] = []
        for order, group in itertools.groupby(pieces, key=lambda piece: piece.order):
            try:
                await order.admission()
            except Dropped:
                continue
            wanted += group
        if wanted:
            await self._breaker.passage()
            await self._permits.take(lambda: sum(piece.order.tokens[piece.index] for piece in wanted))
        return wanted

    async def _attempt(self, pieces: list[Piece]) -> None:
        texts = [piece.order.texts[piece.index] for piece in pieces]
        began = time.monotonic()
        try:
            vectors = await self._source.embed(texts)
        except openai_client.Throttled as throttled:
            REQUESTS.labels("throttled").inc()
            await self._slow_down(throttled)
            raise
        except openai_client.Failed:
            REQUESTS.labels("failed").inc()
            self._breaker.fail()
            raise
        except (openai_client.Refused, openai_client.AccountRefused):
            REQUESTS.labels("refused").inc()
            self._breaker.succeed()
            raise
        failpoints.hit("embedder.after_openai")
        SECONDS.observe(time.monotonic() - began)
        REQUESTS.labels("bought").inc()
        TEXTS.inc(len(texts))
        TOKENS.inc(sum(piece.order.tokens[piece.index] for piece in pieces))
        self._breaker.succeed()
        for piece, vector in zip(pieces, vectors, strict=True):
            piece.order.deliver(piece.index, vector)

    async def _slow_down(self, throttled: openai_client.Throttled) -> None:
        try:
            await self._limiter.pause(throttled.seconds, tokens_exceeded=throttled.tokens_exceeded)
        except limiter.LimiterUnavailable:
            await asyncio.sleep(throttled.seconds)  # nothing starts without the limiter anyway

    async def _bisect(self, pieces: list[Piece], why: str) -> None:
        """Find the text that a refusal is about."""
        if len(pieces) == 1:
            pieces[0].order.refuse(pieces[0].index, why)
            return
        middle = len(pieces) // 2
        for half in (pieces[:middle], pieces[middle:]):
            try:
                wanted = await self._again(half)
            except permits.AccountBlocked as refusal:
                await self._block(half, str(refusal))
                continue
            if wanted:
                await self._fulfil(wanted)

    async def _block(self, pieces: list[Piece], why: str) -> None:
        """The account refuses: everybody stops, and the orders' tasks become blocked."""
        try:
            why = why or await self._reason()
            await self._limiter.block(why)
        except limiter.LimiterUnavailable as error:
            log.warning("The block could not be shared.", action="block_unshared", error=str(error))
        refusal = openai_client.AccountRefused(why)
        self._refuse_account([piece.order for piece in pieces] + list(self._line), refusal)

    def _refuse_account(self, orders: list[Order], refusal: openai_client.AccountRefused) -> None:
        for order in orders:
            order.drop(refusal)
            self.withdraw(order)

    async def _reason(self) -> str:
        try:
            return await self._limiter.blocked()
        except limiter.LimiterUnavailable:
            return ""


_backoff = tenacity.wait_random_exponential(multiplier=RETRY_FIRST_SECONDS, max=RETRY_LONGEST_SECONDS)


def _wait(state: tenacity.RetryCallState) -> float:
    """Full jitter, but not before the server said; after a 429 the limiter holds everybody, so not at all."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, openai_client.Throttled):
        return 0.0
    told = error.seconds if isinstance(error, openai_client.Failed) else 0.0
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

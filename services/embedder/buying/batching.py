"""Batching: pending batches stand in a queue, requests are packed from its front the moment a permit comes."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import structlog

from services.embedder.buying import packing, proof, shared_backoff, sizes, tokens
from services.embedder.buying.pending_batch import PendingBatch, Piece, Reason
from services.embedder.buying.request_attempts import RequestAttempts
from services.embedder.limiter import permits, promise
from services.embedder.openai import errors as openai_errors

log = structlog.get_logger()

# A request that is not full waits so long for chunks that are being decoded.
LINGER_SECONDS = 0.05
# Under a limit on requests a small one costs as much as a full one: it waits for company until none has come for so
# long, and in all so long while chunks come or are known to follow.
GATHER_SECONDS = 0.1
LIMITED_LINGER_SECONDS = 0.25
# A request so full is not kept waiting for a text that just fits.
FULL = 0.95


class _NobodyWaits(Exception):
    """The queue is empty: there is nothing to ask a permit for."""


class Batcher:
    """The queue of pending batches and the requests in flight.

    Args:
        size: What one request may hold; less once a server or a token limit turns out to take less.
        request_limited: Requests are limited, so they are to be filled before they start.
        known: What is known of the account, where others share it.
        count: Counts tokens exactly, for servers that do not say what they billed.
    """

    def __init__(
        self,
        source: shared_backoff.Embeddings,
        permit: permits.Permits,
        limiter: promise.Limiter,
        size: packing.RequestSize,
        *,
        requests_in_flight: int,
        request_limited: bool,
        known: proof.Proof | None = None,
        count: Callable[[Sequence[str]], list[int]] = tokens.count,
    ) -> None:
        self._permits = permit
        self.sizes = sizes.Sizes(size)
        self._request_limited = request_limited
        self._attempts = RequestAttempts(
            source,
            permit,
            limiter,
            known or proof.Proof(shared_backoff.SharedBackoff(source, limiter)),
            self.sizes,
            in_flight=requests_in_flight,
            refuse=self._refuse_account,
            count=count,
        )
        self._queue: deque[PendingBatch] = deque()
        self._arrived = asyncio.Event()
        self._arriving = 0
        self._expecting = False
        self._short_since: float | None = None
        self._last_placed_at = 0.0
        self._full = False
        self._packed: list[packing.Slice[PendingBatch]] = []
        self._requests: set[asyncio.Task[None]] = set()

    def place(self, batch: PendingBatch) -> None:
        """Put a batch at the end of the queue; a first one behind the other first ones, before all others."""
        if batch in self._queue:
            return
        batch.on_admission(self._permits.nudge)
        batch.placed()
        self._last_placed_at = asyncio.get_running_loop().time()
        self._queue.insert(sum(each.first for each in self._queue) if batch.first else len(self._queue), batch)
        self._arrived.set()
        self._permits.nudge()

    async def circuit_open(self) -> bool:
        """Whether the provider is known not to answer, and nobody tries."""
        return self._attempts.circuit_open

    def why(self) -> str:
        """Why nothing is bought, in a sentence that quotes nothing; "" where something is, as far as is known."""
        if self._permits.limiter_down:
            return "The limit that all embedders share is not to be had: Valkey does not answer."
        return self._attempts.why

    def withdraw(self, batch: PendingBatch) -> None:
        """Take a batch out of the queue; what a request holds of it already is still delivered."""
        if batch in self._queue:
            self._queue.remove(batch)

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """A chunk is about to place its batch: a request that is not full waits for it a moment."""
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1
            self._permits.nudge()

    def expect(self, *, more: bool) -> None:
        """Whether more chunks are known to follow, as soon as there is a slot for them."""
        self._expecting = more

    async def run(self) -> None:
        """Buy for ever."""
        try:
            while True:
                slot = await self._attempts.slots.take()
                try:
                    pieces = await self._next()
                except BaseException:
                    slot.release()
                    raise
                task = asyncio.create_task(self._attempts.buy(pieces, slot))
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)
                del pieces, task  # or the last chunk would stay in memory for as long as nothing follows
        except asyncio.CancelledError:
            for task in self._requests:
                task.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)
            raise

    async def _next(self) -> list[Piece]:
        """The next request, with its permit."""
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            await self._attempts.passage()
            try:
                rationed = await self._permits.take(self._cost)
            except _NobodyWaits:
                continue
            except permits.AccountBlocked:
                await self._attempts.blocked([])
                continue
            pieces = self._pop()
            if rationed or (self._request_limited and not self._full):
                for piece in pieces:
                    piece.batch.rationed = True
            if pieces:
                return pieces

    def _cost(self) -> int | None:
        """Pack what could start now. Batches whose gate is not fresh are passed over, not waited for."""
        if not self._queue:
            self._short_since = None  # of what was withdrawn
            raise _NobodyWaits
        fresh = [batch for batch in self._queue if batch.fresh()]
        for batch in self._queue:
            batch.on_progress()  # waiting for quota is progress
        size = self.sizes.size(self._permits.tokens_per_second)
        self._packed, tokens = packing.pack(fresh, size)
        if not self._packed:
            self._short_since = None
            return None
        self._full = self._is_full(tokens, fresh, size)
        if not self._full and self._still_waits():
            return None
        return tokens

    def _is_full(self, tokens: int, fresh: list[PendingBatch], size: packing.RequestSize) -> bool:
        taken = sum(each.stop - each.start for each in self._packed)
        waiting = sum(len(batch.tokens) - batch.cursor for batch in fresh)
        return taken < waiting or taken >= FULL * size.inputs or tokens >= FULL * size.tokens

    def _still_waits(self) -> bool:
        """Whether a request that is not full waits for more texts. Meanwhile the quota is repaid, so little is lost."""
        now = asyncio.get_running_loop().time()
        if self._short_since is None:
            self._short_since = now
        if not self._request_limited:
            return bool(self._arriving) and now - self._short_since < LINGER_SECONDS
        more = self._arriving or self._expecting or now - self._last_placed_at < GATHER_SECONDS
        return bool(more) and now - self._short_since < LIMITED_LINGER_SECONDS

    def _pop(self) -> list[Piece]:
        self._short_since = None
        pieces = []
        for piece in self._packed:
            if piece.batch.fresh() and piece.batch.cursor == piece.start:
                piece.batch.cursor = piece.stop
                pieces += [Piece(piece.batch, index) for index in piece.batch.order[piece.start : piece.stop]]
        self._packed = []
        done = {batch for batch in self._queue if batch.cursor == len(batch.tokens) or batch.dropped is not None}
        if done:
            self._queue = deque(batch for batch in self._queue if batch not in done)
        return pieces

    def _refuse_account(self, batches: list[PendingBatch], refusal: openai_errors.AccountRefused) -> None:
        """Those concerned and all that wait: none of them could be bought."""
        for batch in dict.fromkeys([*batches, *self._queue]):
            batch.drop(Reason.ACCOUNT_REFUSED, str(refusal))
            self.withdraw(batch)

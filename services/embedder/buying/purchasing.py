"""Buying embeddings: orders stand in a line, requests are packed from its front the moment a permit comes."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator

import structlog

from services.embedder.buying import packing, sharing
from services.embedder.buying.fulfilment import Fulfilment, Piece
from services.embedder.buying.order import Order
from services.embedder.limiter import permits, promise
from services.embedder.openai import errors as openai_errors

log = structlog.get_logger()

# A request that is not full waits so long for chunks that are being decoded.
LINGER_SECONDS = 0.05
# Under a limit on requests a small one costs as much as a full one: it waits for company so long in any case, and so
# long while chunks are known to follow.
GATHER_SECONDS = 0.1
LIMITED_LINGER_SECONDS = 0.25
# A request so full is not kept waiting for a text that just fits.
FULL = 0.95


class _NobodyWaits(Exception):
    """The line is empty: there is nothing to ask a permit for."""


class Purchasing:
    """The line of orders and the requests in flight.

    Args:
        request_limited: Requests are limited, so they are to be filled before they start.
    """

    def __init__(
        self,
        source: sharing.Embeddings,
        permit: permits.Permits,
        limiter: promise.Limiter,
        size: packing.RequestSize,
        *,
        requests_in_flight: int,
        request_limited: bool,
    ) -> None:
        self._permits = permit
        self._size = size
        self._request_limited = request_limited
        self._fulfilment = Fulfilment(source, permit, limiter, self._refuse_account)
        self._line: deque[Order] = deque()
        self._arrived = asyncio.Event()
        self._arriving = 0
        self._expecting = False
        self._short_since: float | None = None
        self._full = False
        self._slots = asyncio.Semaphore(requests_in_flight)
        self._packed: list[packing.Slice[Order]] = []
        self._requests: set[asyncio.Task[None]] = set()

    def place(self, order: Order) -> None:
        """Put an order at the end of the line; a first one behind the other first ones, before all others."""
        order.on_admission(self._permits.nudge)
        order.placed()
        self._line.insert(sum(each.first for each in self._line) if order.first else len(self._line), order)
        self._arrived.set()
        self._permits.nudge()

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
            self._permits.nudge()

    def expect(self, *, more: bool) -> None:
        """Whether more chunks are known to follow, as soon as there is a slot for them."""
        self._expecting = more

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
                task = asyncio.create_task(self._fulfilment.fulfil(pieces))
                self._requests.add(task)
                task.add_done_callback(self._finished)
                del pieces, task  # or the last chunk would stay in memory for as long as nothing follows
        except asyncio.CancelledError:
            for task in self._requests:
                task.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)
            raise

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._slots.release()

    async def _next(self) -> list[Piece]:
        """The next request, with its permit."""
        while True:
            while not self._line:
                self._arrived.clear()
                await self._arrived.wait()
            await self._fulfilment.passage()
            try:
                rationed = await self._permits.take(self._cost)
            except _NobodyWaits:
                continue
            except permits.AccountBlocked:
                await self._fulfilment.blocked([])
                continue
            pieces = self._pop()
            if rationed or (self._request_limited and not self._full):
                for piece in pieces:
                    piece.order.rationed = True
            if pieces:
                return pieces

    def _cost(self) -> int | None:
        """Pack what could start now. Orders whose gate is not fresh are passed over, not waited for."""
        if not self._line:
            raise _NobodyWaits
        fresh = [order for order in self._line if order.fresh()]
        for order in self._line:
            order.on_progress()  # waiting for quota is progress
        self._packed, tokens = packing.pack(fresh, self._size)
        if not self._packed:
            self._short_since = None
            return None
        self._full = self._is_full(tokens, fresh)
        if not self._full and self._still_waits():
            return None
        return tokens

    def _is_full(self, tokens: int, fresh: list[Order]) -> bool:
        taken = sum(each.stop - each.start for each in self._packed)
        waiting = sum(len(order.tokens) - order.cursor for order in fresh)
        return taken < waiting or taken >= FULL * self._size.inputs or tokens >= FULL * self._size.tokens

    def _still_waits(self) -> bool:
        """Whether a request that is not full waits for more texts. Meanwhile the quota is repaid, so little is lost."""
        now = asyncio.get_running_loop().time()
        if self._short_since is None:
            self._short_since = now
        patience = LINGER_SECONDS if self._arriving else 0.0
        if self._request_limited:
            patience = LIMITED_LINGER_SECONDS if self._arriving or self._expecting else GATHER_SECONDS
        return now - self._short_since < patience

    def _pop(self) -> list[Piece]:
        self._short_since = None
        pieces = []
        for piece in self._packed:
            if piece.order.fresh() and piece.order.cursor == piece.start:
                piece.order.cursor = piece.stop
                pieces += [Piece(piece.order, index) for index in range(piece.start, piece.stop)]
        self._packed = []
        done = {order for order in self._line if order.cursor == len(order.tokens) or order.dropped is not None}
        if done:
            self._line = deque(order for order in self._line if order not in done)
        return pieces

    def _refuse_account(self, orders: list[Order], refusal: openai_errors.AccountRefused) -> None:
        """Those concerned and all that wait: none of them could be bought."""
        for order in dict.fromkeys([*orders, *self._line]):
            order.drop(refusal)
            self.withdraw(order)

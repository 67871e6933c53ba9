"""How much a request may hold: what is configured, what the token limit allows, and what the server turned out to take.

A server that takes 10, 32 or 100 texts says so in words or by failing; what is learned holds for ten minutes, then
twice as much is tried: a limit may have been an hour's. `shared_sizes` tells it to embedders that start.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from services.embedder.buying import packing
from services.embedder.limiter.request_sizes import LEARNED_SECONDS, Kind

log = structlog.get_logger()

# Of a limit in the server's tokens: ours are counted, or estimated, a little differently.
MARGIN = 0.9


class _Piece(Protocol):
    @property
    def tokens(self) -> int:
        """What it costs."""


PieceT = TypeVar("PieceT", bound=_Piece)


@dataclasses.dataclass
class _Learned:
    """A limit that doubles whenever `LEARNED_SECONDS` have passed since it was learned."""

    limit: float = math.inf
    at: float = 0.0

    def learn(self, limit: int, now: float) -> None:
        self.limit, self.at = max(1, limit), now

    def now(self, now: float) -> float:
        if self.limit == math.inf:
            return self.limit
        doublings = int((now - self.at) // LEARNED_SECONDS)
        return math.inf if doublings > 20 else self.limit * 2**doublings


class Sizes:
    """The size of requests now.

    Args:
        configured: More than this is never put into one.
    """

    def __init__(self, configured: packing.RequestSize) -> None:
        self._configured = configured
        self._learned = {kind: _Learned() for kind in Kind}
        # Called with what this process found out.
        self.on_learned: Callable[[Kind, int], None] = lambda _kind, _limit: None
        # The most that went through of late.
        self._passed, self._passed_at = 0, 0.0
        self._suspected_at: float | None = None

    def size(self, tokens_per_second: float) -> packing.RequestSize:
        """What one request may hold under this token rate; 0: there is none."""
        now = asyncio.get_running_loop().time()
        allowed = packing.under_rate(self._configured, tokens_per_second)
        return packing.RequestSize(
            int(min(allowed.inputs, self._learned[Kind.INPUTS].now(now))),
            int(min(allowed.tokens, self._learned[Kind.TOKENS].now(now))),
        )

    def refused(self, pieces: Sequence[_Piece], *, inputs: int = 0, tokens: int = 0) -> None:
        """The server named a limit that these exceed; 0: it named none, and nothing is known but that they do."""
        cost = sum(piece.tokens for piece in pieces)
        if 0 < inputs < len(pieces):
            self._learn(Kind.INPUTS, inputs)
        elif tokens:
            # One that is not below our count was counted by the server otherwise than by us.
            self._learn(Kind.TOKENS, int(MARGIN * tokens) if tokens < cost else cost // 2)

    def exceeded(self, pieces: Sequence[_Piece], excess: float, limit_per_minute: float) -> None:
        """They are more tokens than the limit of a minute, by this factor: neither they nor a search are to wait so."""
        cost = sum(piece.tokens for piece in pieces)
        fitting = MARGIN * cost / excess
        if limit_per_minute:
            fitting *= packing.REQUEST_SECONDS / 60
        self._learn(Kind.TOKENS, int(fitting))

    def passed(self, inputs: int) -> None:
        """So many went through in one request."""
        now = asyncio.get_running_loop().time()
        if inputs >= self._passed or now - self._passed_at > LEARNED_SECONDS:
            self._passed, self._passed_at = inputs, now

    def proved(self, whole: int, inputs: int, *, sure: bool) -> None:
        """So many went through in each of two requests, which had not gone through in one of `whole`.

        Where that was not refused but failed (`sure` is False) it may have been an accident, of which it takes two.
        """
        now = asyncio.get_running_loop().time()
        if self._passed >= whole and now - self._passed_at <= LEARNED_SECONDS:
            return  # it was not for their number
        if not sure and not (self._suspected_at is not None and now - self._suspected_at <= LEARNED_SECONDS):
            self._suspected_at = now
            return
        self._learn(Kind.INPUTS, inputs)

    def exceeds(self, inputs: int) -> bool:
        """Whether the server is known to take fewer."""
        return inputs > self._learned[Kind.INPUTS].now(asyncio.get_running_loop().time())

    def parts(self, pieces: Sequence[PieceT], tokens_per_second: float, most: int = 0) -> list[list[PieceT]]:
        """In requests of the size that is known to go through, or two halves where that tells nothing.

        Args:
            pieces: What is in them, in their order.
            tokens_per_second: The token rate in force; 0: there is none.
            most: A server took so many of a request with these; more than half of them tells nothing; 0: not known.
        """
        if len(pieces) == 1:
            return [list(pieces)]
        size = self.size(tokens_per_second)
        if 0 < most <= len(pieces) // 2:
            size = dataclasses.replace(size, inputs=min(size.inputs, most))
        parts: list[list[PieceT]] = []
        cost = 0
        for piece in pieces:
            if not parts or len(parts[-1]) >= size.inputs or cost + piece.tokens > size.tokens:
                parts.append([])
                cost = 0
            parts[-1].append(piece)
            cost += piece.tokens
        if len(parts) > 1:
            return parts
        middle = (len(pieces) + 1) // 2
        return [list(pieces[:middle]), list(pieces[middle:])]

    def recall(self, kind: Kind, limit: int) -> bool:
        """Another embedder found out that the server takes no more than this; whether that is less than was known."""
        now = asyncio.get_running_loop().time()
        less = limit < self._learned[kind].now(now)
        if less:
            self._learned[kind].learn(limit, now)
        return less

    def _learn(self, kind: Kind, limit: int) -> None:
        if self.recall(kind, limit):
            log.warning("The server takes less in one request.", action="request_size_learned", kind=kind, limit=limit)
            self.on_learned(kind, limit)

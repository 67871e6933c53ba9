"""What several attempts at the same pieces came to, and how long to wait before the next."""

import dataclasses
import random

from services.embedder.buying import slots
from services.embedder.buying.pending_batch import Piece
from services.embedder.openai import errors as openai_errors

RETRY_FIRST_SECONDS = 0.5
RETRY_LONGEST_SECONDS = 20.0
# So often a request of several texts fails before it is made smaller, should a harmless text be bought meanwhile; half
# as often when it is part of one that did.
PATIENCE = 4


@dataclasses.dataclass
class Trial:
    """Of the pieces of one request; counts what failed of late."""

    pieces: list[Piece]
    slot: slots.Slot
    # Part of a request that failed while others did not.
    suspect: bool = False
    # Attempts in a row that failed, for the wait before the next.
    failures: float = 0.0
    # The same since it was last found that nothing else goes through either.
    doubts: float = 0.0

    def wanted(self) -> list[Piece]:
        """The pieces whose batches were not dropped."""
        return [piece for piece in self.pieces if piece.batch.dropped is None]

    @property
    def patience(self) -> float:
        """After how many failures to ask whether they are its own."""
        return PATIENCE / 2 if self.suspect or len(self.pieces) == 1 else PATIENCE

    def fail(self, weight: float) -> None:
        """An attempt failed."""
        self.failures += weight
        self.doubts += weight


def backoff(failures: float) -> float:
    """Exponential, with full jitter."""
    longest = min(RETRY_LONGEST_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(failures, 10.0))
    return random.uniform(0.0, longest)  # noqa: S311 (jitter)


def wait(error: Exception, failures: float) -> float:
    """Not before the server said; after a 429 the limiter holds everybody, so not at all."""
    if isinstance(error, openai_errors.Throttled):
        return 0.0
    told = error.seconds if isinstance(error, openai_errors.Failed) else 0.0
    return max(told, backoff(failures))

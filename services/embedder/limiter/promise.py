"""The global limiter: one rate for every replica, task and caller of an OpenAI account and model.

It promises, by Valkey's clock: any window of w seconds holds at most r * (w + 0.02) + 1 request starts and
limit * w + one largest request of tokens, also under flushes, stalls and 429s; and that the rate is met on average,
because a start up to 20 ms late is credited. It fails closed: without Valkey nothing starts. It keeps no reservations:
a replica that dies between two questions holds nothing. A search goes before bulk, but where both wait bulk keeps half
of each limit: neither starves the other. `memory` is its fake.
"""

import dataclasses
import enum
import math
from typing import Protocol

LATE_CREDIT_SECONDS = 0.02
STARTING_DEBT_SECONDS = 2.0
# A grant that took longer to arrive than this may coincide with later ones; it is dropped and asked for anew.
STALE_GRANT_SECONDS = 0.5
# Who waits holds its turn against the other kind for so long after the moment that it was told: it may be a little
# late, or have others behind it.
HOLD_SECONDS = 0.05
RATE_DROP = 0.7
SECONDS_BETWEEN_DROPS = 5.0
# The rate climbs back by so much of the limit a second.
CLIMB_A_SECOND = 0.02
# A limit that the provider named in a 429 is not climbed past for so long.
WORD_SECONDS = 600.0
# No header and no caller stops the line for longer at a time.
LONGEST_PAUSE_SECONDS = 300.0
# How long a refused account stays blocked without anybody looking; the probe renews it.
BLOCK_SECONDS = 24 * 3600


class Verdict(enum.Enum):
    """What the limiter answers."""

    START = "start"
    WAIT = "wait"
    BLOCKED = "blocked"


class Asker(enum.StrEnum):
    """For whom a permit is asked: a search goes before bulk, the account's probe also through a blocked account."""

    BULK = "bulk"
    SEARCH = "search"
    PROBE = "probe"


@dataclasses.dataclass(frozen=True)
class Answer:
    """START now, WAIT for `seconds` and ask again, or BLOCKED.

    `tokens_per_second` is the token rate in force, configured or taught by a 429; 0: none, or not looked at (BLOCKED).
    """

    verdict: Verdict
    seconds: float = 0.0
    tokens_per_second: float = 0.0


@dataclasses.dataclass(frozen=True)
class Quota:
    """The configured quota. 0 means none."""

    requests_per_second: float
    tokens_per_minute: float
    # Tokens of the largest request that anybody makes.
    largest_request_tokens: int

    @property
    def tokens_per_second(self) -> float:
        """The token limit a second."""
        return self.tokens_per_minute / 60


@dataclasses.dataclass(frozen=True)
class State:
    """The limiter as it is at a moment.

    Attributes:
        requests_per_second: Rate now; 0: no limit.
        tokens_per_second: Token rate now; 0: no limit.
        factor: What both are multiplied by since the last 429; 1 at most.
        pause_seconds: How long a 429 still stops everybody.
        next_seconds: When the next request may start, the pause included.
        permits: Requests that were let start since the state began.
        refused: Answers 429 since then.
        blocked: Why the account is blocked; empty when it is not.
    """

    requests_per_second: float
    tokens_per_second: float
    factor: float
    pause_seconds: float
    next_seconds: float
    permits: int
    refused: int
    blocked: str


class LimiterUnavailable(Exception):
    """Valkey does not answer: nothing may start."""


class Limiter(Protocol):
    """What permits are asked of; implemented on Valkey, and in memory for tests and simulation.

    Every method raises LimiterUnavailable when nothing is known.
    """

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> Answer:
        """May a request of `tokens` start now?"""

    async def touch(self) -> None:
        """Create the state if it is absent, so that its starting debt is repaid before the first task comes."""

    async def pause(self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0) -> None:
        """A 429 came: nobody starts for `seconds`, and slower afterwards; `limit_per_minute` if the provider named it.

        It may tighten the configured limit, never loosen it.
        """

    async def block(self, reason: str) -> None:
        """The account refuses: nobody starts until `unblock`."""

    async def unblock(self) -> None:
        """The account is good again."""

    async def blocked(self) -> str:
        """Why the account is blocked; empty when it is not."""

    async def look(self) -> State:
        """The state now; looking changes nothing."""

    async def claim_probe(self, seconds: float) -> bool:
        """Whether this process may probe the account: one a `seconds` for the whole line."""


def bounded(seconds: float) -> float:
    """A pause that may have come from a header: between 0 and `LONGEST_PAUSE_SECONDS`, also when it is no number."""
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS) if math.isfinite(seconds) else LONGEST_PAUSE_SECONDS


def named(limit_per_minute: float) -> float:
    """A limit from a header as one a second; 0 when it names none."""
    return limit_per_minute / 60 if math.isfinite(limit_per_minute) and limit_per_minute > 0 else 0.0

"""The limiter in memory, for tests and simulation: the semantics of the Lua, and a clock that is handed in.

`tests/integration/embedder/limiter/test_differential.py` holds the two against each other.
"""

import asyncio
import copy
import dataclasses
import math
from collections.abc import Callable

from services.embedder.limiter import promise
from services.embedder.limiter.promise import Answer, Asker, LimiterUnavailable, Quota, State, Verdict


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


_HOLDS = ("search_until", "bulk_until", "bulk_at")


@dataclasses.dataclass
class _Stored:
    """What the hash in Valkey holds."""

    requests_at: float
    tokens_at: float
    seen_at: float
    pause_until: float = 0.0
    factor: float = 1.0
    factor_at: float = 0.0
    dropped_at: float = -math.inf
    # What a 429 taught (a second), and from when on it is climbed past: "requests" and "tokens".
    learned: dict[str, float] = dataclasses.field(default_factory=dict)
    learned_at: dict[str, float] = dataclasses.field(default_factory=dict)
    search_until: float = 0.0
    bulk_until: float = 0.0
    bulk_at: float = 0.0
    permits: int = 0
    refused: int = 0
    second: int = -1
    started: dict[str, float] = dataclasses.field(default_factory=lambda: {"requests": 0.0, "tokens": 0.0})
    started_before: dict[str, float] = dataclasses.field(default_factory=lambda: {"requests": 0.0, "tokens": 0.0})

    def move(self, seconds: float) -> None:
        """The clock stepped back by so much: its times go along."""
        for name in ("requests_at", "tokens_at", "pause_until", "factor_at", "dropped_at", *_HOLDS):
            setattr(self, name, getattr(self, name) - seconds)
        for kind in self.learned_at:
            self.learned_at[kind] -= seconds


class MemoryLimiter:
    """Implements `promise.Limiter`. Several share one quota by sharing one instance.

    Args:
        quota: The configured quota; may be replaced, as by a restart with another configuration.
        clock: Seconds; the running loop's time unless given.
    """

    def __init__(self, quota: Quota, clock: Callable[[], float] = _loop_time) -> None:
        self.quota = quota
        self.down = False
        self._clock = clock
        self.flush()

    # ---- fate

    def flush(self) -> None:
        """FLUSHALL, or a restart without data."""
        self._state: _Stored | None = None
        self._blocked = ""
        self._probe_until = -math.inf

    # ---- what the scripts do

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> Answer:
        """May a request of `tokens` start now?"""
        now = self._now()
        if self._blocked and asker is not Asker.PROBE:
            return Answer(Verdict.BLOCKED)
        state = self._load(now)
        factor = _factor(state, now)
        rate = self._taught("requests", state, now) * factor
        per_second = self._taught("tokens", state, now) * factor
        free_at = max(now, state.pause_until)
        if rate > 0:
            state.requests_at = min(state.requests_at, now + promise.STARTING_DEBT_SECONDS + 1 / rate)
            free_at = max(free_at, state.requests_at)
        if per_second > 0:
            longest = promise.STARTING_DEBT_SECONDS + max(self.quota.largest_request_tokens, tokens) / per_second
            state.tokens_at = min(state.tokens_at, now + longest)
            free_at = max(free_at, state.tokens_at)
        search = asker is Asker.SEARCH
        at = _turn(state, free_at, search=search, limited=rate > 0 or per_second > 0)
        if at > now:
            state.seen_at = now
            setattr(state, "search_until" if search else "bulk_until", at + promise.HOLD_SECONDS)
            return Answer(Verdict.WAIT, at - now, per_second)
        repaid_twice_at = now
        if rate > 0:
            begun = max(state.requests_at, now - promise.LATE_CREDIT_SECONDS)
            state.requests_at, repaid_twice_at = begun + 1 / rate, begun + 2 / rate
        if per_second > 0:
            state.tokens_at = max(state.tokens_at, now) + tokens / per_second
            repaid_twice_at = max(repaid_twice_at, now + 2 * tokens / per_second)
        if search:
            state.search_until = now + promise.HOLD_SECONDS
        else:
            state.bulk_at = repaid_twice_at
        _count(state, now, tokens)
        return Answer(Verdict.START, 0.0, per_second)

    async def touch(self) -> None:
        """Create the state if it is absent."""
        self._load(self._now())

    async def pause(self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0) -> None:
        """A 429 came: nobody starts for `seconds`, and slower afterwards."""
        now = self._now()
        state = self._load(now)
        state.seen_at = now
        state.refused += 1
        state.pause_until = max(state.pause_until, now + promise.bounded(seconds))
        if now - state.dropped_at < promise.SECONDS_BETWEEN_DROPS:
            return
        kind = "tokens" if tokens_exceeded else "requests"
        limit, named = self._taught(kind, state, now), promise.named(limit_per_minute)
        started = max(1.0, state.started[kind], state.started_before[kind])
        if named:
            state.learned[kind], state.learned_at[kind] = named, state.pause_until + promise.WORD_SECONDS
        elif self._configured(kind) == 0:
            state.learned[kind], state.learned_at[kind] = min(limit or started, started), state.pause_until
        state.factor = max(0.05, _factor(state, now) * promise.RATE_DROP)
        state.factor_at, state.dropped_at = state.pause_until, now

    async def block(self, reason: str) -> None:
        """The account refuses."""
        self._now()
        self._blocked = reason or "no reason given"

    async def unblock(self) -> None:
        """The account is good again."""
        self._now()
        self._blocked = ""

    async def blocked(self) -> str:
        """Why the account is blocked; empty when it is not."""
        self._now()
        return self._blocked

    async def look(self) -> State:
        """The state now; looking changes nothing."""
        now = self._now()
        kept = copy.deepcopy(self._state)
        state = self._load(now)
        self._state = kept
        factor = _factor(state, now)
        rate = self._taught("requests", state, now) * factor
        per_second = self._taught("tokens", state, now) * factor
        pause = max(0.0, state.pause_until - now)
        wait = pause
        if rate > 0:
            wait = max(wait, min(state.requests_at - now, promise.STARTING_DEBT_SECONDS + 1 / rate))
        if per_second > 0:
            longest = promise.STARTING_DEBT_SECONDS + self.quota.largest_request_tokens / per_second
            wait = max(wait, min(state.tokens_at - now, longest))
        return State(rate, per_second, factor, pause, wait, state.permits, state.refused, self._blocked)

    async def claim_probe(self, seconds: float) -> bool:
        """Whether the caller may probe the account."""
        now = self._now()
        if now < self._probe_until:
            return False
        self._probe_until = now + seconds
        return True

    # ---- inside

    def _now(self) -> float:
        if self.down:
            raise LimiterUnavailable("down")
        return self._clock()

    def _load(self, now: float) -> _Stored:
        if self._state is None:
            debt, rate = promise.STARTING_DEBT_SECONDS, self.quota.requests_per_second
            self._state = _Stored(now + (max(debt, 1 / rate) if rate > 0 else debt), now + debt, now)
        elif self._state.seen_at - now > 0.001:
            self._state.move(self._state.seen_at - now)
            self._state.seen_at = now
        return self._state

    def _configured(self, kind: str) -> float:
        return self.quota.tokens_per_second if kind == "tokens" else self.quota.requests_per_second

    def _taught(self, kind: str, state: _Stored, now: float) -> float:
        configured = self._configured(kind)
        if kind not in state.learned:
            return configured
        climbed: float = (1 + promise.CLIMB_A_SECOND) ** min(2000.0, max(0.0, now - state.learned_at[kind]))
        learned = state.learned[kind] * climbed
        return learned if configured == 0 else min(configured, learned)


def _turn(state: _Stored, free_at: float, *, search: bool, limited: bool) -> float:
    """When who asks may start: a search before bulk, but for bulk's share."""
    bulk_first = limited and state.bulk_at <= free_at + 1e-6
    if search == bulk_first:
        return max(free_at, min(state.bulk_until, free_at + promise.HOLD_SECONDS) if search else state.search_until)
    return free_at


def _factor(state: _Stored, now: float) -> float:
    return min(1.0, state.factor + promise.CLIMB_A_SECOND * max(0.0, now - state.factor_at))


def _count(state: _Stored, now: float, tokens: int) -> None:
    """What starts in this second and in the one before."""
    state.seen_at = now
    state.permits += 1
    if state.second != math.floor(now):
        state.second, state.started_before = math.floor(now), state.started
        state.started = {"requests": 0.0, "tokens": 0.0}
    state.started["requests"] += 1
    state.started["tokens"] += tokens

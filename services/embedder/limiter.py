"""The global limiter: one rate for every replica, task and caller of an OpenAI account and model.

It promises, by Valkey's clock: any window of w seconds holds at most r * (w + 0.02) + 1 request starts and
limit * w + one largest request of tokens, also under flushes, stalls and 429s; and that the rate is met on average,
because a start up to 20 ms late is credited. It fails closed: without Valkey nothing starts. It keeps no reservations:
a replica that dies between two questions holds nothing.
"""

import contextlib
import dataclasses
import enum
import importlib.resources
import time
from collections.abc import Iterator
from typing import Protocol

import redis.asyncio
import redis.exceptions

LATE_CREDIT_SECONDS = 0.02
STARTING_DEBT_SECONDS = 2.0
# A grant that took longer to arrive than this may coincide with later ones; it is dropped and asked for anew.
STALE_GRANT_SECONDS = 0.5
SEARCH_HOLD_SECONDS = 0.25
RATE_DROP = 0.7
SECONDS_BETWEEN_DROPS = 5.0
# How long a refused account stays blocked without anybody looking; the probe renews it.
BLOCK_SECONDS = 24 * 3600


class Verdict(enum.Enum):
    """What the limiter answers."""

    START = "start"
    WAIT = "wait"
    BLOCKED = "blocked"


@dataclasses.dataclass(frozen=True)
class Answer:
    """START now, WAIT for `seconds` and ask again, or BLOCKED."""

    verdict: Verdict
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """The configured quota. 0 means none."""

    requests_per_second: float
    tokens_per_minute: float
    # Tokens of the largest request that packing makes.
    largest_request_tokens: int

    @property
    def tokens_per_second(self) -> float:
        """The token limit a second."""
        return self.tokens_per_minute / 60


class LimiterUnavailable(Exception):
    """Valkey does not answer: nothing may start."""


class Limiter(Protocol):
    """What permits are asked of; implemented on Valkey, and in memory for tests and simulation."""

    async def acquire(self, tokens: int, *, search: bool) -> Answer:
        """May a request of `tokens` start now?"""

    async def pause(self, seconds: float, *, tokens_exceeded: bool) -> None:
        """A 429 came: nobody starts for `seconds`, and slower afterwards."""

    async def block(self, reason: str) -> None:
        """The account refuses: nobody starts until `unblock`."""

    async def unblock(self) -> None:
        """The account is good again."""

    async def blocked(self) -> str:
        """Why the account is blocked; empty when it is not."""

    async def claim_probe(self, seconds: float) -> bool:
        """Whether this process may probe the account: one a `seconds` for the whole line."""


@contextlib.contextmanager
def _fail_closed() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.RedisError, OSError) as error:
        raise LimiterUnavailable(str(error)) from error


def _script(name: str) -> str:
    return (importlib.resources.files("services.embedder") / "lua" / f"{name}.lua").read_text()


class ValkeyLimiter:
    """The limiter on Valkey; see the module's docstring for its promise."""

    def __init__(self, client: redis.asyncio.Redis, model: str, limits: Limits, prefix: str = "{vectorline}") -> None:
        self._client = client
        self._limits = limits
        self._state = f"{prefix}:limiter:{model}"
        self._block = f"{prefix}:blocked:{model}"
        self._probe = f"{prefix}:probe:{model}"
        self._acquire = client.register_script(_script("acquire"))
        self._pause = client.register_script(_script("pause"))

    async def acquire(self, tokens: int, *, search: bool) -> Answer:
        """May a request of `tokens` start now?

        Raises:
            LimiterUnavailable: Valkey did not answer.
        """
        arguments = [
            self._limits.requests_per_second,
            self._limits.tokens_per_second,
            tokens,
            int(search),
            LATE_CREDIT_SECONDS,
            STARTING_DEBT_SECONDS,
            self._limits.largest_request_tokens,
            SEARCH_HOLD_SECONDS,
        ]
        asked = time.monotonic()
        with _fail_closed():
            verdict, microseconds = await self._acquire(keys=[self._state, self._block], args=arguments)
        if verdict < 0:
            return Answer(Verdict.BLOCKED)
        if verdict == 0:
            return Answer(Verdict.WAIT, microseconds / 1e6)
        if time.monotonic() - asked > STALE_GRANT_SECONDS:
            return Answer(Verdict.WAIT)
        return Answer(Verdict.START)

    async def touch(self) -> None:
        """Create the state if it is absent, so that its starting debt is repaid before the first task comes."""
        with _fail_closed():
            now = await self._client.time()
            at = f"{now[0] + now[1] / 1e6 + STARTING_DEBT_SECONDS:.6f}"
            for field in ("requests_at", "tokens_at"):
                await self._client.hsetnx(self._state, field, at)

    async def pause(self, seconds: float, *, tokens_exceeded: bool) -> None:
        """A 429 came: nobody starts for `seconds`, and slower afterwards."""
        arguments = [
            seconds,
            RATE_DROP,
            SECONDS_BETWEEN_DROPS,
            int(self._limits.requests_per_second == 0),
            int(self._limits.tokens_per_minute == 0),
            "tokens" if tokens_exceeded else "requests",
        ]
        with _fail_closed():
            await self._pause(keys=[self._state], args=arguments)

    async def block(self, reason: str) -> None:
        """The account refuses: nobody starts until `unblock`."""
        with _fail_closed():
            await self._client.set(self._block, reason, ex=BLOCK_SECONDS)

    async def unblock(self) -> None:
        """The account is good again."""
        with _fail_closed():
            await self._client.delete(self._block)

    async def blocked(self) -> str:
        """Why the account is blocked; empty when it is not."""
        with _fail_closed():
            reason = await self._client.get(self._block)
        return reason.decode() if isinstance(reason, bytes) else (reason or "")

    async def claim_probe(self, seconds: float) -> bool:
        """Whether this process may probe the account: one a `seconds` for the whole line."""
        with _fail_closed():
            return bool(await self._client.set(self._probe, 1, nx=True, px=max(1, int(seconds * 1000))))

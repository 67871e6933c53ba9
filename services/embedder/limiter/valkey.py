"""The limiter on Valkey: one Lua script a question, by Valkey's clock. See `promise`."""

import contextlib
import time
from collections.abc import Iterator

import redis.asyncio

from services.embedder.limiter import promise
from services.embedder.limiter.promise import Answer, Asker, LimiterUnavailable, Quota, State, Verdict
from services.valkey import errors, scripts


@contextlib.contextmanager
def _fail_closed() -> Iterator[None]:
    try:
        yield
    except errors.ANY as error:
        raise LimiterUnavailable(str(error) or type(error).__name__) from error


def _shared(_script: str) -> tuple[str, ...]:
    return ("state",)


class ValkeyLimiter:
    """Implements `promise.Limiter`."""

    def __init__(self, client: redis.asyncio.Redis, model: str, quota: Quota, prefix: str = "{vectorline}") -> None:
        self._client = client
        self._probe = f"{prefix}:probe:{model}"
        self._block = f"{prefix}:blocked:{model}"
        self._keys = [f"{prefix}:limiter:{model}", self._block]
        self._arguments = [
            quota.requests_per_second,
            quota.tokens_per_second,
            quota.largest_request_tokens,
            promise.LATE_CREDIT_SECONDS,
            promise.STARTING_DEBT_SECONDS,
            promise.HOLD_SECONDS,
            promise.LONGEST_PAUSE_SECONDS,
        ]
        self._scripts = scripts.Scripts(client, "services.embedder.limiter", _shared)
        self._plain = scripts.Scripts(client, "services.valkey")

    async def acquire(self, tokens: int, asker: Asker = Asker.BULK) -> Answer:
        """May a request of `tokens` start now?"""
        asked = time.monotonic()
        with _fail_closed():
            verdict, microseconds, per_second = await self._scripts.run(
                "acquire", self._keys, [*self._arguments, tokens, asker.value]
            )
        if verdict < 0:
            return Answer(Verdict.BLOCKED)
        if verdict == 0:
            return Answer(Verdict.WAIT, microseconds / 1e6, float(per_second))
        if time.monotonic() - asked > promise.STALE_GRANT_SECONDS:
            return Answer(Verdict.WAIT, 0.0, float(per_second))
        return Answer(Verdict.START, 0.0, float(per_second))

    async def touch(self) -> None:
        """Create the state if it is absent, so that its starting debt is repaid before the first task comes."""
        with _fail_closed():
            await self._scripts.run("touch", self._keys, self._arguments)

    async def pause(self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0) -> None:
        """A 429 came: nobody starts for `seconds`, and slower afterwards."""
        own: list[str | float] = [
            promise.bounded(seconds),
            "tokens" if tokens_exceeded else "requests",
            promise.named(limit_per_minute),
            promise.RATE_DROP,
            promise.SECONDS_BETWEEN_DROPS,
            promise.WORD_SECONDS,
        ]
        with _fail_closed():
            await self._scripts.run("pause", self._keys, [*self._arguments, *own])

    async def block(self, reason: str) -> None:
        """The account refuses: nobody starts until `unblock`."""
        with _fail_closed():
            await self._put(self._block, reason or "no reason given", promise.BLOCK_SECONDS, only_new=False)

    async def unblock(self) -> None:
        """The account is good again."""
        with _fail_closed():
            await self._client.delete(self._block)

    async def blocked(self) -> str:
        """Why the account is blocked; empty when it is not."""
        with _fail_closed():
            reason = await self._client.get(self._block)
        return reason.decode() if isinstance(reason, bytes) else (reason or "")

    async def look(self) -> State:
        """The state now; looking changes nothing."""
        with _fail_closed():
            *numbers, blocked = await self._scripts.run("look", self._keys, self._arguments)
        rate, per_second, factor, pause, wait, permits, refused = (float(number) for number in numbers)
        reason = blocked.decode(errors="replace")
        return State(rate, per_second, factor, pause, wait, int(permits), int(refused), reason)

    async def claim_probe(self, seconds: float) -> bool:
        """Whether this process may probe the account: one a `seconds` for the whole line."""
        with _fail_closed():
            return await self._put(self._probe, "1", seconds, only_new=True)

    async def _put(self, key: str, value: str, seconds: float, *, only_new: bool) -> bool:
        """A SET that a full Valkey takes too."""
        return bool(await self._plain.run("put", [key], [value, max(1, round(seconds * 1000)), int(only_new)]))

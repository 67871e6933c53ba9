"""Rate limits as OpenAI enforces them (https://platform.openai.com/docs/guides/rate-limits).

Requests per second: sliding windows. Any window of 1, 10 or 60 s may hold ``rate * seconds + 1`` requests; the one
more is for the edges of the window and for the jitter of a network. Requests and tokens per minute: leaky buckets as
large as the limit, empty at the start, leaking a sixtieth of the limit every second, which is what the numbers in
OpenAI's own messages show (Limit 1000000, Used 976163, Requested 70716: try again in 2.812s). A bucket that has been
idle so lets one minute's worth through at once. What is refused does not count.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Final

from sandbox.openai import errors

MINUTE: Final = 60.0  # seconds
WINDOWS_SECONDS: Final = (1.0, 10.0, 60.0)
_ROUNDING: Final = 1e-9  # tokens or seconds: what float arithmetic may be off by


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What an account may send; 0 means no limit."""

    requests_per_second: float = 0.0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class Window:
    """At most ``most`` events in any half-open window of ``seconds``."""

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds = seconds
        self.most = most
        self._times: collections.deque[float] = collections.deque()

    def wait(self, now: float) -> float:
        """Return how many seconds remain until one more event fits; 0: it fits now."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) < self.most:
            return 0.0
        return self._times[-self.most] + self.seconds - now

    def add(self, now: float) -> None:
        """Count an event."""
        self._times.append(now)


class Bucket:
    """A leaky bucket that holds ``limit`` and leaks ``limit`` a minute."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._used = 0.0
        self._at = 0.0

    def used(self, now: float) -> float:
        """Return what has not leaked out yet; ``now`` is in seconds."""
        self._used = max(0.0, self._used - max(0.0, now - self._at) * self.limit / MINUTE)
        self._at = max(now, self._at)
        return self._used

    def wait(self, amount: float, now: float) -> float:
        """Return how many seconds remain until ``amount`` fits; 0: it fits now, infinity: it never does."""
        if amount > self.limit:
            return math.inf
        over = self.used(now) + amount - self.limit
        return over * MINUTE / self.limit if over > _ROUNDING else 0.0

    def add(self, amount: float, now: float) -> None:
        """Pour ``amount`` in."""
        self._used = self.used(now) + amount

    def seconds_to_empty(self, now: float) -> float:
        """Return when the bucket is as it was at the start."""
        return self.used(now) * MINUTE / self.limit


class Gate:
    """Admits or refuses requests, and says so in the headers of every answer.

    Every method takes the time in seconds of a monotonic clock, so that tests can run a minute in no time.
    """

    def __init__(self, limits: Limits) -> None:
        self._windows: list[Window] = []
        if limits.requests_per_second:
            rate = limits.requests_per_second
            self._windows = [Window(length, math.floor(rate * length + 1)) for length in WINDOWS_SECONDS]
        per_minute = [
            limit for limit in (limits.requests_per_minute, limits.requests_per_second * MINUTE) if limit
        ]  # what the headers speak of, whichever of the two is configured
        self._requests = Bucket(min(per_minute)) if per_minute else None
        self._requests_bind = bool(limits.requests_per_minute)
        self._tokens = Bucket(limits.tokens_per_minute) if limits.tokens_per_minute else None

    def admit_request(self, now: float) -> float:
        """Count one request and return 0, or return by how many seconds it comes too early."""
        wait = max((window.wait(now) for window in self._windows), default=0.0)
        if self._requests and self._requests_bind:
            wait = max(wait, self._requests.wait(1, now))
        if wait > 0:
            return wait
        for window in self._windows:
            window.add(now)
        if self._requests:
            self._requests.add(1, now)
        return 0.0

    def refuse_request(self, model_name: str, wait: float, now: float) -> errors.ApiError:
        """Return the 429 for a request that came ``wait`` seconds too early."""
        return self._refusal("requests", model_name, 1, wait, now)

    def admit_tokens(self, model_name: str, tokens: int, now: float) -> None:
        """Count the tokens of an admitted request. Raises errors.ApiError (429) where they come too early."""
        if self._tokens is None:
            return
        wait = self._tokens.wait(tokens, now)
        if wait > 0:
            refusal = self._refusal("tokens", model_name, tokens, wait, now)
            raise refusal
        self._tokens.add(tokens, now)

    def headers(self, now: float) -> dict[str, str]:
        """Return the ``x-ratelimit-*`` headers; empty where nothing is limited."""
        headers = {}
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket:
                headers[f"x-ratelimit-limit-{name}"] = str(math.floor(bucket.limit))
                headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(bucket.limit - bucket.used(now))))
                headers[f"x-ratelimit-reset-{name}"] = duration(bucket.seconds_to_empty(now))
        return headers

    def _refusal(self, what: str, model_name: str, amount: int, wait: float, now: float) -> errors.ApiError:
        bucket = self._tokens if what == "tokens" else self._requests
        if bucket is None:
            message = "a refusal without a limit"
            raise RuntimeError(message)
        unit = "tokens per min (TPM)" if what == "tokens" else "requests per min (RPM)"
        place = f"for {model_name} in organization org-sandbox on {unit}: Limit {math.floor(bucket.limit)}"
        headers = self.headers(now)
        if math.isinf(wait):
            message = f"Request too large {place}, Requested {amount}. The input must be reduced."
        else:
            used = math.floor(bucket.limit if what == "requests" else bucket.used(now))
            message = (
                f"Rate limit reached {place}, Used {used}, Requested {amount}. Please try again in {duration(wait)}."
            )
            headers |= retry_headers(wait)
            headers[f"x-ratelimit-reset-{what}"] = duration(wait)
            if what == "requests":
                headers["x-ratelimit-remaining-requests"] = "0"
        message += " Visit https://platform.openai.com/account/rate-limits to learn more."
        return errors.ApiError(429, message, type=what, code="rate_limit_exceeded", headers=headers)


def retry_headers(seconds: float) -> dict[str, str]:
    """Return ``retry-after`` (whole seconds) and ``retry-after-ms``, both rounded up."""
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}


def duration(seconds: float) -> str:
    """Write a duration as OpenAI's headers do (Go's form: ``17ms``, ``8.64s``, ``6m0s``), rounded up to 1 ms."""
    milliseconds = math.ceil(round(seconds * 1000, 6))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:g}s" if rest % 1000 else f"{rest // 1000}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail

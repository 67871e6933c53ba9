"""Pinecone's limits by the second: a token bucket for upsert requests and one for their bytes, by namespace."""

import time

from sandbox.pinecone import errors

_RETRY_AFTER_SECONDS = 1.0


class Bucket:
    """At most `per_second` tokens a second, with a burst of one second's worth."""

    def __init__(self, per_second: float) -> None:
        """Start full."""
        self._per_second = per_second
        self._tokens = per_second
        self._at = time.monotonic()

    def take(self, amount: float) -> bool:
        """Take tokens if they are there; a request of over a second's worth needs a full bucket and overdraws it."""
        now = time.monotonic()
        self._tokens = min(self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < min(amount, self._per_second):
            return False
        self._tokens -= amount
        return True


class Rates:
    """The limits of every namespace. 0 means none."""

    def __init__(self, upserts_per_second: float = 0, bytes_per_second: float = 0) -> None:
        """Remember the limits."""
        self._limits = {"upsert requests": upserts_per_second, "upsert bytes": bytes_per_second}
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    def check(self, index: str, namespace: str, size_bytes: int) -> None:
        """Count one upsert.

        Raises:
            ApiError: RESOURCE_EXHAUSTED with a retry-after.

        """
        for what, amount in (("upsert requests", 1), ("upsert bytes", size_bytes)):
            limit = self._limits[what]
            if not limit:
                continue
            bucket = self._buckets.setdefault((what, index, namespace), Bucket(limit))
            if not bucket.take(amount):
                raise errors.ApiError(
                    errors.Code.RESOURCE_EXHAUSTED,
                    f"Too many requests: the limit of {limit:g} {what} per second is exceeded for namespace "
                    f"'{namespace}'. Retry later.",
                    _RETRY_AFTER_SECONDS,
                )

"""Requests a second of one API key: a bucket that holds one second's worth.

`LocalRate` counts in this process alone: for a service without Valkey, and while Valkey is away (the callers of a key
go on, and are still limited). `services.valkey.rates` counts for all replicas together.
"""

import collections
import time
from typing import Final, Protocol

# Keys that were not heard of for long are forgotten beyond so many.
REMEMBERED_KEYS: Final = 10_000


class Rate(Protocol):
    """Takes one request of a key off its rate."""

    async def take(self, key_id: str, per_second: float) -> float:
        """0.0: it may go on; else the seconds until it is worth asking again."""
        ...


class LocalRate:
    """Implements `Rate` in this process."""

    def __init__(self) -> None:
        # When each key's bucket is full again.
        self._full_at: collections.OrderedDict[str, float] = collections.OrderedDict()

    async def take(self, key_id: str, per_second: float) -> float:
        """See `Rate.take`."""
        now, interval = time.monotonic(), 1 / per_second
        full_at = max(self._full_at.get(key_id, 0.0), now) + interval
        wait = full_at - now - depth_seconds(per_second)
        if wait > 1e-9:  # rounding is no request too many
            return wait
        self._full_at[key_id] = full_at
        self._full_at.move_to_end(key_id)
        while len(self._full_at) > REMEMBERED_KEYS:
            self._full_at.popitem(last=False)
        return 0.0


def depth_seconds(per_second: float) -> float:
    """Seconds of requests that may come at once: a second's worth, and at least one request."""
    return max(1.0, 1 / per_second)

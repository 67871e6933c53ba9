"""Tokens that were bought for each API key in a day (UTC), against the day's limit of the key.

They are counted when they are bought, and asked for when a call would have more bought: a search, or a task. What runs
goes on, so a day may end a little above its limit. `services.valkey.tokens` counts for all processes together.
"""

import datetime
from collections.abc import Callable
from typing import Final, Protocol

from services.runtime import errors, identity

REASON: Final = "TOKENS_QUOTA_EXCEEDED"


class Tokens(Protocol):
    """Counts by key and day."""

    def spent(self, key_id: str, tokens: int) -> None:
        """So many were bought for the key just now. Returns at once and never fails."""
        ...

    async def used(self, key_id: str) -> int:
        """How many were bought for the key today, as far as is known."""
        ...


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def seconds_left(at: datetime.datetime) -> float:
    """Until the day is over by which limits are counted."""
    midnight = datetime.datetime.combine(at.date() + datetime.timedelta(days=1), datetime.time(), at.tzinfo)
    return (midnight - at).total_seconds()


async def check(tokens: Tokens, clock: Callable[[], datetime.datetime] = now) -> None:
    """Refuse a call that has tokens bought when the caller's key has none left for today.

    Raises:
        errors.ResourceExhausted: TOKENS_QUOTA_EXCEEDED; worth asking again after midnight UTC.
    """
    caller = identity.current()
    limit = caller.limits.tokens_per_day
    if not limit or await tokens.used(caller.key_id) < limit:
        return
    raise errors.ResourceExhausted(
        f"The key {caller.key_id!r} has used its {limit} tokens of today (UTC). Ask again tomorrow.",
        reason=REASON,
        metadata={"limit": str(limit), "unit": "tokens/day"},
        retry_seconds=seconds_left(clock()),
    )

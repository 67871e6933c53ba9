"""The ledger's clock: the same in every indexer, however wrong the clock of its machine is."""

import datetime
import email.utils
import time
from collections.abc import Callable


class Clock:
    """Local time, corrected by the ``Date`` that DynamoDB sends with every answer.

    Turns pass on by times that another process wrote, so two clocks an hour apart would either pass a turn at once
    or never. A ``Date`` has whole seconds: together with the moments of sending and receiving it bounds how far the
    local clock is off. The bounds of many answers are intersected; inside them the local clock is believed.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._low = float("-inf")  # seconds to add to the local clock, at least
        self._high = float("inf")  # and at most

    def observe(self, date: str, sent: float) -> None:
        """Learn from an answer: its Date header, and the local time (`wall`) when the request was sent."""
        try:
            served = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        low, high = served - self.wall(), served + 1.0 - sent
        if max(low, self._low) > min(high, self._high):
            self._low, self._high = low, high  # the local clock was set: what was known is void
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)

    def now(self) -> datetime.datetime:
        """The time, in UTC."""
        correction = min(max(0.0, self._low), self._high)
        return datetime.datetime.fromtimestamp(self.wall() + correction, datetime.UTC)


def text(moment: datetime.datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as text."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(moment: str) -> datetime.datetime:
    """The reverse of `text`."""
    return datetime.datetime.fromisoformat(moment)

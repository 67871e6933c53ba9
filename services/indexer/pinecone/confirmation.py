"""Since when the index has not confirmed what it was sent: an upsert whose count is not that of its records.

What is not confirmed is sent again, and billed again. An accident passes; an index that counts otherwise does not.
"""

import time
from collections.abc import Callable

# So long every upsert of a namespace must have been answered with another count, until a person is asked.
UNCONFIRMED_SECONDS = 60.0
# Two such answers that are further apart have nothing to do with each other.
APART_SECONDS = 180.0


class Confirmations:
    """By namespace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The first and the last such answer in a row.
        self._since: dict[str, tuple[float, float]] = {}

    def doubted(self, namespace: str) -> bool:
        """Whether the last upsert was not confirmed."""
        return namespace in self._since

    def confirm(self, namespace: str) -> None:
        """The count was right."""
        self._since.pop(namespace, None)

    def miss(self, namespace: str) -> bool:
        """The count was another. True: it has been so for too long; it then counts anew."""
        now = self._clock()
        first, last = self._since.get(namespace, (now, now))
        if now - last > APART_SECONDS:
            first = now
        self._since[namespace] = (first, now)
        if now - first < UNCONFIRMED_SECONDS:
            return False
        self.confirm(namespace)
        return True

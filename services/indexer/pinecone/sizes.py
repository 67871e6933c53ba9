"""How many vectors a namespace holds, as was known a moment ago: it decides what a query costs."""

import contextlib
import time
from collections.abc import Awaitable, Callable

from services.runtime import errors

KNOWN_SECONDS = 60.0
# Of so many namespaces; who searches more of them asks more often.
NAMESPACES = 10_000


class Sizes:
    """Asks the index now and then; `count` is what it says of a namespace."""

    def __init__(self, count: Callable[[str], Awaitable[int]]) -> None:
        self._count = count
        self._known: dict[str, tuple[int, float]] = {}

    async def vectors(self, namespace: str) -> int:
        """Vectors in a namespace; what was known last while the index does not answer, 0 if nothing was."""
        vectors, asked_at = self._known.get(namespace, (0, float("-inf")))
        now = time.monotonic()
        if now - asked_at < KNOWN_SECONDS:
            return vectors
        if len(self._known) >= NAMESPACES:
            self._known.clear()
        self._known[namespace] = (vectors, now)  # others need not ask meanwhile
        with contextlib.suppress(errors.Unavailable):
            vectors = await self._count(namespace)
            self._known[namespace] = (vectors, now)
        return vectors

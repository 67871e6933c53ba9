"""Strikes and defects in memory, as sets with a time to live behave in Valkey."""

from collections.abc import Callable, Collection

from services.chunks import store

# Beside the numbers of chunks: what is counted for the drives of the whole task.
DRIVES = -1


class MemoryStrikes:
    """Tokens by chunk; each addition lets all of a chunk's live for ``seconds`` from now."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._tokens: dict[store.Struck, set[str]] = {}
        self._ends: dict[store.Struck, float] = {}

    def of(self, struck: store.Struck) -> int:
        """How many a chunk has."""
        return len(self._tokens[struck]) if struck in self.standing() else 0

    def standing(self) -> list[store.Struck]:
        """Chunks that have any."""
        return [struck for struck, tokens in self._tokens.items() if tokens and self._ends[struck] > self._clock()]

    def add(self, struck: store.Struck, token: str) -> int:
        """Add one; how many there are then."""
        if not self.of(struck):
            self.forget(struck)
        self._tokens.setdefault(struck, set()).add(token)
        self._ends[struck] = self._clock() + self._seconds
        return self.of(struck)

    def remove(self, struck: store.Struck, token: str) -> None:
        """Remove one."""
        self._tokens.get(struck, set()).discard(token)

    def forget(self, struck: store.Struck) -> None:
        """Remove all that a chunk has."""
        self._tokens.pop(struck, None)

    def clear(self, task_id: str, kept: Collection[int]) -> None:
        """Remove all of a task but those of the chunks that are kept."""
        for struck in [each for each in self._tokens if each[0] == task_id and each[1] not in kept]:
            self.forget(struck)

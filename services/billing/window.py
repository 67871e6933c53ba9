"""What was bought lately, within a budget: the latest, and what was asked for again.

Half of the budget is for what was asked for once, half for what came again: so a file of unlike texts that flows by
does not push out the few that stand everywhere in it. The embedder keeps vectors in one; an estimate keeps one of
nothing, to know what the embedder would buy.
"""

import collections
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

# Of vectors and their texts, in one embedder: 2,600 of 1,536 values.
BYTES = 16 << 20


class _Half(Generic[Key, Value]):
    """Entries in the order of their last use, and what they weigh."""

    def __init__(self) -> None:
        self.entries: collections.OrderedDict[Key, tuple[Value, int]] = collections.OrderedDict()
        self.weight = 0

    def put(self, key: Key, value: Value, weight: int) -> None:
        self.entries[key] = value, weight
        self.weight += weight

    def take(self, key: Key) -> tuple[Value, int]:
        value, weight = self.entries.pop(key)
        self.weight -= weight
        return value, weight

    def oldest(self) -> tuple[Key, Value, int]:
        key, (value, weight) = self.entries.popitem(last=False)
        self.weight -= weight
        return key, value, weight


class Window(Generic[Key, Value]):
    """Holds values of at most `most` weight in all."""

    def __init__(self, most: int = BYTES) -> None:
        self._most = most // 2
        self._once: _Half[Key, Value] = _Half()
        self._again: _Half[Key, Value] = _Half()

    def get(self, key: Key) -> Value | None:
        """A value, which is then one that came again."""
        if key in self._again.entries:
            self._again.entries.move_to_end(key)
            return self._again.entries[key][0]
        if key not in self._once.entries:
            return None
        value, weight = self._once.take(key)
        self._again.put(key, value, weight)
        while self._again.weight > self._most:
            self._once.put(*self._again.oldest())
        self._trim()
        return value

    def put(self, key: Key, value: Value, weight: int) -> None:
        """Keep a value, unless there is one."""
        if key not in self._again.entries and key not in self._once.entries:
            self._once.put(key, value, weight)
            self._trim()

    def _trim(self) -> None:
        while self._once.weight > self._most:
            self._once.oldest()

"""The distribution of the texts' lengths in tokens, exact and in flat memory: a count for each length."""

import collections
import dataclasses
from collections.abc import Iterable

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Profile:
    """Lengths in tokens. A quantile q is the shortest length that at least the share q of the texts does not pass."""

    min: int = 0
    median: int = 0
    p95: int = 0
    max: int = 0
    mean: float = 0.0


class Lengths:
    """Gathers lengths. A text has at most 8,192 tokens, so there are no more counts than that."""

    def __init__(self) -> None:
        self._counts: collections.Counter[int] = collections.Counter()

    def add(self, lengths: Iterable[int]) -> None:
        """Add texts by their lengths."""
        self._counts.update(lengths)

    @property
    def total(self) -> int:
        """Tokens of all texts."""
        return sum(length * texts for length, texts in self._counts.items())

    def profile(self) -> Profile:
        """What was gathered; zeros for no text at all."""
        if not self._counts:
            return Profile()
        counts = pd.Series(self._counts).sort_index()
        share = counts.cumsum() / counts.sum()
        lengths = counts.index.to_numpy()
        return Profile(
            min=int(lengths[0]),
            median=int(lengths[share.searchsorted(0.5)]),
            p95=int(lengths[share.searchsorted(0.95)]),
            max=int(lengths[-1]),
            mean=self.total / int(counts.sum()),
        )

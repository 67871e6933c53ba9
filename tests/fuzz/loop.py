"""The loop: pick an input, change it, run it, and keep it if it took the code to a place where none was before."""

import dataclasses
import random
import time
import traceback
from collections.abc import Callable

from tests.fuzz import case, coverage, invariants, mutation

# CPU time of one input; the largest takes a twentieth of it with the watching on.
LONGEST_SECONDS = 5.0
# Shortening an input that is to be kept: runs at most.
_SHORTENINGS = 60


@dataclasses.dataclass(frozen=True)
class Found:
    """An input that broke an invariant."""

    case: case.Case
    trace: str


class Fuzzer:
    """A run from one seed.

    Args:
        corpus: Inputs to begin with.
        seed: Of all that is random.
        kept: Told of every new input that is worth keeping.
    """

    def __init__(self, corpus: list[case.Case], seed: int, kept: Callable[[case.Case], None] | None = None) -> None:
        self._rng = random.Random(seed)
        self._told = kept
        self._corpus: list[case.Case] = []
        # Of these, the ones that are read to the end.
        self._fruitful: list[case.Case] = []
        # Steps of the code, and reasons met: all that was seen so far.
        self.seen: set[coverage.Step | str] = set()
        self.inputs = 0
        self.found: list[Found] = []
        self.reasons: dict[str, int] = {}
        self.slowest_seconds = 0.0
        for one in corpus:
            self._add(one)

    @property
    def corpus(self) -> int:
        """How many inputs there are by now."""
        return len(self._corpus)

    def run(self, seconds: float, *, most_found: int = 20) -> None:
        """Try new inputs for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.found) < most_found:
            # A file that is refused ends early: most of what can go wrong is behind it.
            base = self._fruitful if self._fruitful and self._rng.random() < 0.9 else self._corpus
            made = mutation.mutated(self._rng.choice(base), self._corpus, self._rng)
            new = self._run(made) - self.seen
            if new:
                self._keep(self._shortened(made, new))

    def _add(self, one: case.Case) -> None:
        reached = self._run(one)
        self.seen |= reached
        self._corpus.append(one)
        if not reached & invariants.FAILURES:
            self._fruitful.append(one)

    def _keep(self, made: case.Case) -> None:
        self._add(made)
        if self._told is not None:
            self._told(made)

    def _shortened(self, made: case.Case, new: set[coverage.Step | str]) -> case.Case:
        """Cut parts out of an input as long as it still gets where it got."""
        size = max(1, len(made.data) // 2)
        for _ in range(_SHORTENINGS):
            start = self._rng.randrange(max(1, len(made.data)))
            shorter = dataclasses.replace(made, data=made.data[:start] + made.data[start + size :])
            if len(shorter.data) < len(made.data) and new <= self._run(shorter):
                made = shorter
            else:
                size = max(1, size * 2 // 3)
        return made

    def _run(self, one: case.Case) -> set[coverage.Step | str]:
        """Run one input; returns what it reached."""
        steps: set[coverage.Step] = set()
        reasons: set[str] = set()
        begun = time.process_time()
        self.inputs += 1
        try:
            reasons = invariants.check(one, random.Random(one.name), steps)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # whatever it is, it is what this program looks for; Rust's panics are no Exception
            self.found.append(Found(one, traceback.format_exc()))
        seconds = time.process_time() - begun
        if seconds > LONGEST_SECONDS:
            self.found.append(Found(one, f"It took {seconds:.1f} s of CPU."))
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        for reason in reasons:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        return steps | reasons

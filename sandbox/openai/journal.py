"""What came in: every embeddings request, and the sums that tests ask for."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Final

KEPT: Final = 100_000  # requests in the log; the sums go on beyond it
SAMPLES: Final = 20  # texts shown of those that were bought twice
SAMPLE_CHARACTERS: Final = 120


@dataclasses.dataclass(slots=True)
class Visit:
    """One request. ``status`` is None while it runs, 0 where the connection was cut in place of an answer."""

    number: int
    unix: float
    monotonic: float
    model: str | None = None
    inputs: int = 0
    tokens: int = 0
    bought: bool = False
    status: int | None = None
    fault: str | None = None
    seconds: float | None = None


class Peak:
    """The largest sum of amounts within any window of ``seconds`` (half-open, as events come in)."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._events: collections.deque[tuple[float, int]] = collections.deque()
        self._sum = 0
        self.most = 0

    def add(self, amount: int, now: float) -> None:
        """Count ``amount`` at ``now`` (seconds, never running backwards)."""
        while self._events and self._events[0][0] <= now - self._seconds:
            self._sum -= self._events.popleft()[1]
        self._events.append((now, amount))
        self._sum += amount
        self.most = max(self.most, self._sum)


class Journal:
    """The log and its sums. An input is *bought* when its embedding was computed, even if the answer then got lost.

    Texts are told apart by a 64-bit hash, about 100 bytes of memory a distinct text. Used from the event loop only.
    """

    def __init__(self) -> None:
        self._running = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; requests under way are counted when they end."""
        self._visits: collections.deque[Visit] = collections.deque(maxlen=KEPT)
        self._count = 0
        self._by_status: collections.Counter[int] = collections.Counter()
        self._by_fault: collections.Counter[str] = collections.Counter()
        self._most_running = self._running
        self._requests = Peak(1.0)
        self._tokens = Peak(60.0)
        self._inputs_bought = 0
        self._tokens_bought = 0
        self._seen: set[int] = set()
        self._repeated = 0
        self._samples: list[str] = []

    def open(self) -> Visit:
        """Log the arrival of a request."""
        self._count += 1
        visit = Visit(self._count, time.time(), time.monotonic())
        self._visits.append(visit)
        self._requests.add(1, visit.monotonic)
        self._running += 1
        self._most_running = max(self._most_running, self._running)
        return visit

    def buy(self, visit: Visit, texts: Sequence[str]) -> None:
        """Log that the embeddings of ``texts`` were computed, which is what an account is charged for."""
        visit.bought = True
        self._inputs_bought += len(texts)
        self._tokens_bought += visit.tokens
        self._tokens.add(visit.tokens, time.monotonic())
        before = len(self._seen)
        if len(self._samples) < SAMPLES:
            again = [text for text in texts if hash(text) in self._seen]
            self._samples += [text[:SAMPLE_CHARACTERS] for text in again[: SAMPLES - len(self._samples)]]
        self._seen.update(map(hash, texts))
        self._repeated += len(texts) - (len(self._seen) - before)

    def close(self, visit: Visit, status: int) -> None:
        """Log the end of a request."""
        visit.status = status
        visit.seconds = time.monotonic() - visit.monotonic
        self._by_status[status] += 1
        if visit.fault:
            self._by_fault[visit.fault] += 1
        self._running -= 1

    def summary(self) -> dict[str, Any]:
        """Return the sums; times are in seconds."""
        return {
            "requests": self._count,
            "in_flight": self._running,
            "max_in_flight": self._most_running,
            "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
            "by_fault": dict(sorted(self._by_fault.items())),
            "too_many_requests": self._by_status[429],
            "max_requests_in_1s": self._requests.most,
            "max_tokens_in_60s": self._tokens.most,
            "inputs_bought": self._inputs_bought,
            "distinct_inputs_bought": len(self._seen),
            "repeated_inputs": self._repeated,
            "repeated_samples": self._samples,
            "tokens_bought": self._tokens_bought,
        }

    def visits(self, since: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the logged requests with a number above ``since``, oldest first, the latest ``limit`` of them."""
        found = [dataclasses.asdict(visit) for visit in self._visits if visit.number > since]
        return found if limit is None else found[max(0, len(found) - limit) :]

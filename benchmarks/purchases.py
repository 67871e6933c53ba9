"""What the embedding provider sees of a load: told by our stand-in's journal, or else by the embedders' own metrics."""

import dataclasses
import threading
import time
from typing import Any

from benchmarks import line

# Of a provider that keeps no journal the embedders are asked so often: the times are as good as that.
SAMPLE_SECONDS = 0.05
STARTED = ("vectorline_permit_seconds_count", "bulk")


@dataclasses.dataclass(frozen=True)
class Seen:
    """Requests of one load: when they started (seconds of the machine's monotonic clock), and what they held."""

    starts: list[float]
    # Tokens of each, where the provider tells them.
    tokens: list[int]
    too_many: int
    detail: dict[str, Any]

    @property
    def span_seconds(self) -> float:
        """From the first to the last start."""
        return max(self.starts) - min(self.starts)


class Watch:
    """Watches a line between `begin` and `end`."""

    def __init__(self, running: line.Line) -> None:
        self._line = running
        self._journal = running.purchases() is not None
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._starts: list[float] = []
        self._before: dict[str, float] = {}
        self._throttled = 0.0

    def begin(self) -> None:
        """From now on."""
        if self._journal:
            self._line.forget()
        else:
            self._look(time.monotonic(), first=True)
            self._throttled = self._line.counted("embedder", "vectorline_openai_requests_total", "throttled")
            self._sampler.start()

    def end(self) -> Seen:
        """What was seen."""
        if not self._journal:
            self._over.set()
            self._sampler.join()
            throttled = (
                self._line.counted("embedder", "vectorline_openai_requests_total", "throttled") - self._throttled
            )
            told = {"told_by": "the embedders' metrics", "requests": len(self._starts)}
            return Seen(self._starts, [], round(throttled), told)
        seen = self._line.purchases() or {}
        summary = seen["summary"]
        detail = {
            "requests": len(seen["requests"]),
            "most_in_1_s": summary["max_requests_in_1s"],
            "bought_twice": summary["repeated_inputs"],
        }
        starts = [each["monotonic"] for each in seen["requests"]]
        return Seen(starts, [each["tokens"] for each in seen["requests"]], summary["too_many_requests"], detail)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._look(time.monotonic())

    def _look(self, now: float, *, first: bool = False) -> None:
        """Requests that started since the last look; a process that started anew counts from nothing."""
        for name, samples in self._line.metrics("embedder").items():
            count = samples.get(STARTED, 0.0)
            new = count - self._before.get(name, 0.0)
            self._before[name] = count
            if not first:
                self._starts += [now] * round(new if new >= 0 else count)

"""What was asked of the stand-in: the last calls one by one, and sums of all since the start or the last reset."""

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_KEPT_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One data plane call. `status` is the name of a gRPC code, `reset` or `cancelled`."""

    time: float  # seconds since the epoch, when it arrived
    milliseconds: float
    transport: str
    op: str
    index: str
    namespace: str
    vectors: int
    bytes: int
    write_units: float
    read_units: float
    # Of the API, as it was served.
    version: str
    status: str
    message: str


class Journal:
    """A ring of calls and their sums. Units are what Pinecone would put on its bill."""

    def __init__(self) -> None:
        """Start empty."""
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._since = time.time()
        self._calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self._sums: dict[str, Counter[str]] = {}
        self._units: dict[str, list[float]] = {}

    def add(self, call: Call) -> None:
        """Remember a call that has ended."""
        self._calls.append(call)
        sums = self._sums.setdefault(call.op, Counter())
        sums["calls"] += 1
        units = self._units.setdefault(call.op, [0.0, 0.0])
        units[0] += call.write_units
        units[1] += call.read_units
        sums["vectors"] += call.vectors
        sums["bytes"] += call.bytes
        sums[f"status {call.status}"] += 1
        if call.status == "OK":
            sums["vectors_ok"] += call.vectors

    def report(self, limit: int, op: str | None = None) -> dict[str, Any]:
        """Return the sums by operation and the last calls, oldest first."""
        by_op: dict[str, Any] = {}
        for name, sums in self._sums.items():
            statuses = {key.removeprefix("status "): n for key, n in sums.items() if key.startswith("status ")}
            plain = {key: sums[key] for key in ("calls", "vectors", "vectors_ok", "bytes")}
            write, read = self._units[name]
            by_op[name] = plain | {"write_units": write, "read_units": read, "statuses": statuses}
        calls = [call for call in self._calls if op in (None, call.op)]
        return {
            "since": self._since,
            "by_op": by_op,
            "write_units": sum(units[0] for units in self._units.values()),
            "read_units": sum(units[1] for units in self._units.values()),
            "requests": [asdict(call) for call in calls[max(0, len(calls) - limit) :]],
        }

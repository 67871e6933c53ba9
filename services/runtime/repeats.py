"""Log lines that repeat: of alike warnings a few a minute are printed, then how many more there were.

An outage makes every chunk in work say the same every second. What is alike: action, level and what the line is about
(its task, its dependency …), not its words or numbers. Lines below WARNING and those that name an incident, which a
caller may ask for, are always printed.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

import structlog

WINDOW_SECONDS: Final = 60.0
# Of alike lines so many are printed a window.
PRINTED: Final = 5
# Kinds of lines that are told apart at once; each costs some hundred bytes.
MOST_KINDS: Final = 10_000
LEVELS: Final = frozenset({"warning", "error", "critical"})
ABOUT: Final = ("action", "level", "task_id", "dependency", "circuit", "loop", "method", "code", "kind", "reason")


@dataclasses.dataclass
class _Window:
    began: float
    printed: int = 0
    # Left out since the last printed one.
    left_out: int = 0


class Repeats:
    """A structlog processor. The first line of a new window says how many were left out since the last: `repeated`.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[Hashable, ...], _Window] = {}
        self._lock = threading.Lock()  # lines come from threads too

    def __call__(self, _logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Let a line pass, or raise DropEvent."""
        if line.get("level") not in LEVELS or "incident" in line or "action" not in line:
            return line
        now = self._clock()
        with self._lock:
            window = self._window(tuple(str(line.get(name, "")) for name in ABOUT), now)
            if window.printed >= PRINTED:
                window.left_out += 1
                raise structlog.DropEvent
            window.printed += 1
            left_out, window.left_out = window.left_out, 0
        if left_out:
            line["repeated"] = left_out
        return line

    def _window(self, kind: tuple[Hashable, ...], now: float) -> _Window:
        found = self._windows.get(kind)
        if found is None:
            if len(self._windows) >= MOST_KINDS:
                self._forget(now)
            found = self._windows[kind] = _Window(now)
        elif now - found.began >= WINDOW_SECONDS:
            found.began, found.printed = now, 0
        return found

    def _forget(self, now: float) -> None:
        """Make room: of what is over, else of everything, which prints some lines more."""
        kept = {kind: each for kind, each in self._windows.items() if now - each.began < WINDOW_SECONDS}
        self._windows = kept if len(kept) < MOST_KINDS else {}

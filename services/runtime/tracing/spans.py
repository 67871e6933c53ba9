"""Spans as the rest of the code sees them: next to nothing where nothing is recorded; no text of a row is in one."""

import contextvars
import enum
import re
import types
from collections.abc import Callable, Sequence
from typing import Final, Protocol, Self

# W3C trace context, version 00: trace id, span id, flags. https://www.w3.org/TR/trace-context/
TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
HEADER: Final = "traceparent"
SAMPLED: Final = 1

Attribute = str | int | float | bool


class Kind(enum.Enum):
    """Which side of something a span is, as OpenTelemetry names them."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """A span that is open."""

    @property
    def traceparent(self) -> str:
        """What others name it by; empty where there is nothing to name."""

    def set(self, name: str, value: Attribute) -> None:
        """Say something about it: names, numbers and codes, never what a row or a header holds."""

    def end(self, error: BaseException | None = None) -> None:
        """It is over; of an error its kind is kept."""


class Backend(Protocol):
    """What makes spans."""

    def start(self, name: str, kind: Kind, parent: str, links: Sequence[str]) -> Span:
        """A new span: the child of `parent`, or the first of a trace."""

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""


class _Nothing:
    """In place of a span that nobody asked for."""

    traceparent = ""

    def set(self, name: str, value: Attribute) -> None:
        """Nobody listens."""

    def end(self, error: BaseException | None = None) -> None:
        """Nothing was begun."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Passed(_Nothing):
    """A span of somebody else's that is not recorded."""

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent


NOTHING: Final = _Nothing()
_backend: Backend | None = None
# What is under way here, by its traceparent; empty: nothing that is traced.
_current: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")


class Open:
    """A span for the length of a block: what begins inside is its child, unless it is `apart`."""

    def __init__(self, span: Span, *, apart: bool = False) -> None:
        self._span = span
        self._apart = apart
        self._before = ""

    def __enter__(self) -> Span:
        if not self._apart:
            self._before = _current.get()
            _current.set(self._span.traceparent)
        return self._span

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        if not self._apart:
            # Not by a token: a generator may be closed in another context than the one that it began in.
            _current.set(self._before)
        self._span.end(error)


def use(backend: Backend | None) -> None:
    """Record by this from now on; None: record nothing."""
    global _backend  # noqa: PLW0603 (one a process, as the metrics' registry)
    _backend = backend


def on() -> bool:
    """Whether anything may be recorded."""
    return _backend is not None


def close() -> None:
    """Send what is left."""
    if _backend is not None:
        _backend.close()


def sampled(traceparent: str) -> bool:
    """Whether what this names is recorded."""
    found = TRACEPARENT.fullmatch(traceparent)
    return found is not None and bool(int(found[3], 16) & SAMPLED)


def current() -> str:
    """The traceparent of what is under way here; empty where there is none. Unsampled ones are told too."""
    return _current.get()


def recorded() -> str:
    """The same, where it is recorded; else empty."""
    held = _current.get()
    return held if held and sampled(held) else ""


def span(name: str, kind: Kind = Kind.INTERNAL, *, apart: bool = False) -> Open | _Nothing:
    """A part of what is under way here, if that is recorded."""
    if _backend is None or not (parent := recorded()):
        return NOTHING
    return Open(_backend.start(name, kind, parent, ()), apart=apart)


def under(parent: str, name: str, kind: Kind = Kind.INTERNAL, *, apart: bool = False) -> Open | _Nothing:
    """A part of something that was begun elsewhere, if that is recorded."""
    if _backend is None or not sampled(parent):
        return NOTHING
    return Open(_backend.start(name, kind, parent, ()), apart=apart)


def linked(link: str, name: str, kind: Kind) -> Open | _Nothing:
    """The first of a new trace, linked to what it comes from, if that is recorded."""
    if _backend is None or not sampled(link):
        return NOTHING
    return Open(_backend.start(name, kind, "", (link,)))


def served(parent: str, name: str, *, begins: bool) -> Open | _Nothing:
    """A call that is served: part of its caller's trace, else (`begins`) the first of one, if that is sampled."""
    if _backend is None:
        return NOTHING
    if TRACEPARENT.fullmatch(parent):
        # An unsampled one is passed on as it is: nobody behind this begins a trace of its own.
        return Open(_backend.start(name, Kind.SERVER, parent, ()) if sampled(parent) else _Passed(parent))
    return Open(_backend.start(name, Kind.SERVER, "", ())) if begins else NOTHING


def leave() -> None:
    """From here on this asyncio task is part of nothing: it outlives what began it, or repeats itself meanwhile."""
    _current.set("")


def stride(count: int, most: int) -> Callable[[int], bool]:
    """Chooses at most `most` of the numbers 0 … count-1, evenly spread and always the same."""
    step = -(-count // most) or 1
    return lambda number: number % step == 0

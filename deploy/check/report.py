"""What the check says while it goes on, and the table at its end."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator


class Broken(Exception):
    """A promise does not hold; the message says which."""


@dataclasses.dataclass
class Report:
    """Collects what was shown."""

    rows: list[tuple[str, float]] = dataclasses.field(default_factory=list)

    def say(self, line: str) -> None:
        """A line for who watches."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def shown(self, what: str, seconds: float = 0.0) -> None:
        """A promise that was seen to hold."""
        self.rows.append((what, seconds))
        self.say(f"  ok  {what}")

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the check; counts its seconds."""
        self.say(f"== {name}")
        began = time.monotonic()
        yield
        self.rows.append((f"== {name}", time.monotonic() - began))

    def table(self) -> str:
        """All of it, once more."""
        lines = [f"{what:<96} {f'{seconds:6.1f} s' if seconds else ''}".rstrip() for what, seconds in self.rows]
        return "\n".join(lines)


def expect(holds: bool, what: str) -> None:
    """Raise `Broken` where something does not hold."""
    if not holds:
        raise Broken(what)

"""What a check says of one thing that it looked at."""

import dataclasses
import enum


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    # The line works, but slower, dearer or less safely than it might; or it could not be seen.
    WARNING = "warning"
    # The line does not work like this, or not for long.
    BROKEN = "broken"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: The dependency, e.g. valkey.
        part: What of it, e.g. version.
        level: How bad it is.
        message: What was found: a sentence without its full stop.
        remedy: What to do about it; empty: nothing.
    """

    check: str
    part: str
    level: Level
    message: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class About:
    """Makes the findings of one check."""

    check: str

    def ok(self, part: str, message: str) -> Finding:
        """It is as it should be."""
        return Finding(self.check, part, Level.OK, message)

    def warning(self, part: str, message: str, remedy: str) -> Finding:
        """It might be better."""
        return Finding(self.check, part, Level.WARNING, message, remedy)

    def broken(self, part: str, message: str, remedy: str) -> Finding:
        """It does not work."""
        return Finding(self.check, part, Level.BROKEN, message, remedy)

"""What was found, for people and for programs."""

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence

from services.doctor import finding

COLOURS = {finding.Level.OK: "32", finding.Level.WARNING: "33", finding.Level.BROKEN: "31"}
INDENT = " " * 24


def lines(found: Sequence[finding.Finding], *, coloured: bool) -> Iterator[str]:
    """A line each, its remedy below, and at last how many there are of each kind."""
    for each in found:
        level = f"{each.level:<8}"
        shown = f"\x1b[{COLOURS[each.level]}m{level}\x1b[0m" if coloured else level
        yield f"{shown} {each.check:<13} {each.part}: {_printable(each.message)}"
        if each.remedy:
            yield f"{INDENT}→ {_printable(each.remedy)}"
    count = collections.Counter(each.level for each in found)
    yield ", ".join(f"{count[level]} {level}" for level in reversed(finding.Level))


def documents(found: Sequence[finding.Finding]) -> Iterator[str]:
    """A JSON object a line: check, part, level, message, remedy."""
    for each in found:
        yield json.dumps(dataclasses.asdict(each), ensure_ascii=False)


def broken(found: Sequence[finding.Finding]) -> bool:
    """Whether something does not work."""
    return any(each.level is finding.Level.BROKEN for each in found)


def _printable(text: str) -> str:
    # What a server says must not steer a terminal.
    return "".join(character if character.isprintable() else " " for character in text)

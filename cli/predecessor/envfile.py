"""Environment files as docker compose and python-dotenv read them: ``NAME=value``, quoted or not, one a line."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One variable of a file."""

    line_number: int
    name: str
    value: str


class Unreadable(Exception):
    """A line of the file is no assignment; the message names it."""


def parse(text: str) -> list[Entry]:
    """The variables of a file, in its order; one that stands twice counts as its last.

    Raises:
        Unreadable: A line is neither empty, nor a comment, nor an assignment.
    """
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            # The line itself may hold a secret, and is not repeated.
            raise Unreadable(f"line {number} is no NAME=value")
        name, value = match[1], _unquoted(match[2])
        found.pop(name, None)
        found[name] = Entry(number, name, value)
    return list(found.values())


def _unquoted(value: str) -> str:
    for quote in ("'", '"'):
        if value.startswith(quote):
            end = value.find(quote, 1)
            if end > 0:
                return value[1:end]
    return re.sub(r"\s+#.*$", "", value).strip()

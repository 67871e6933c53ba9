"""The types that a request declares for columns: ``price:number``, ``tags:list(|)``."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

KINDS = ("string", "number", "boolean", "timestamp", "list")
# The name is all before the last colon that a type follows: names and separators may hold colons themselves.
_DECLARED = re.compile(r"(.*):(?:(string|number|boolean|timestamp)|list\((.+)\))", re.DOTALL)


class TypesError(ValueError):
    """What was declared cannot be read; the message says which and how to write it."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """A column's type."""

    # One of KINDS.
    kind: str
    # Of a list.
    separator: str = ""

    def __str__(self) -> str:
        return f"list({self.separator})" if self.kind == "list" else self.kind


def parse(entries: Sequence[str]) -> Mapping[str, Declared]:
    """Return the declared types by column.

    Raises:
        TypesError: An entry is not name:type, or a column has two types.
    """
    found: dict[str, Declared] = {}
    for entry in entries:
        match = _DECLARED.fullmatch(entry.strip())
        name = match[1].strip() if match else ""
        if match is None or not name:
            raise TypesError(
                f"{entry[:60]!r} is not name:type; type is string, number, boolean, timestamp or list(separator)"
            )
        kind = Declared(match[2]) if match[2] else Declared("list", match[3])
        if found.setdefault(name, kind) != kind:
            raise TypesError(f"{name[:60]!r} is declared as {found[name]} and as {kind}; say one of them")
    return found

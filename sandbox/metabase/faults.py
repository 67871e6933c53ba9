"""Scripted faults: what the real thing, and what stands before it, does on a bad day.

Rules are asked in their order; the first that applies to a question is carried out, ``times`` times (None: for ever).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any


class Kind(enum.StrEnum):
    """What goes wrong."""

    STATUS = "status"  # an error answer with the status `code`
    ERROR = "error"  # 200, and the query's error as JSON in place of the file
    ERROR_BEHIND = "error_behind"  # 200, some rows, then the error as JSON
    LOGIN = "login"  # 200, and a login page
    REDIRECT = "redirect"  # 302 to a login page
    RESET = "reset"  # some rows, then the connection breaks
    CUT = "cut"  # some rows, then a clean end within a line
    CAP = "cap"  # only the first `rows` rows, and a clean end
    EMPTY = "empty"  # 200 and nothing
    DELAY = "delay"  # the right answer, delay_ms late


@dataclasses.dataclass(slots=True)
class Rule:
    """One fault; ``question`` None: of every question."""

    kind: Kind
    times: int | None = None
    question: int | None = None
    code: int = 503
    rows: int = 2_000
    delay_ms: float = 0.0
    fired: int = 0

    @classmethod
    def parse(cls, fields: Any) -> Rule:
        """Read a rule from JSON. Raises ValueError naming the field that is wrong."""
        known = {field.name for field in dataclasses.fields(cls)} - {"fired"}
        if not isinstance(fields, dict) or not {"kind"} <= set(fields) <= known:
            raise ValueError(f"a rule is an object of {', '.join(sorted(known))}; kind is needed")
        return cls(**{**fields, "kind": Kind(fields["kind"])})

    def applies(self, question: int) -> bool:
        """Whether it is this rule's turn."""
        return self.question in (None, question) and (self.times is None or self.fired < self.times)


class Script:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: Sequence[Rule] = ()

    def pick(self, question: int) -> Rule | None:
        """The rule to carry out now, counted."""
        for rule in self.rules:
            if rule.applies(question):
                rule.fired += 1
                return rule
        return None

"""Scripted faults: what the real service does on a bad day, on demand.

Rules are asked in their order; the first that applies to a request is carried out. ``Kind`` says what each does.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from sandbox.openai import errors, rates, words

HTML: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
ABSURD_SECONDS: Final = 604_800.0  # a week: no client should believe it
_SHORT_WAIT_SECONDS: Final = 1.0


class Kind(enum.StrEnum):
    """What goes wrong."""

    STATUS = "status"  # an error answer: `code` and `body`
    HANG = "hang"  # no answer for delay_ms, then the right one; with delay_ms 0: never
    DELAY = "delay"  # the right answer, delay_ms late
    RESET = "reset"  # the connection is reset; with after_work: once the embeddings are bought
    TRUNCATE = "truncate"  # half of the right answer, then the connection closes
    HTML = "html"  # 200 and a page of some proxy
    MISSING = "missing"  # one embedding fewer than inputs
    SHUFFLE = "shuffle"  # right and complete, out of order (`index` tells)
    WRONG_DIMENSION = "wrong_dimension"  # one float too few in each
    NAN = "nan"  # the first embedding holds a NaN
    ZERO_VECTOR = "zero_vector"  # the first embedding is all zero
    BAD_ROW = "bad_row"  # 400 while any input contains match_text


class RetryAfter(enum.StrEnum):
    """What a scripted 429 or 503 says about when to come back."""

    GIVEN = "given"
    ABSENT = "absent"
    ABSURD = "absurd"


def _rate_limited() -> errors.ApiError:
    return errors.ApiError(
        429,
        "Rate limit reached for text-embedding-3-small in organization org-sandbox on requests per min (RPM): "
        f"Limit 3000, Used 3000, Requested 1. Please try again in {rates.duration(_SHORT_WAIT_SECONDS)}. Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        type="requests",
        code="rate_limit_exceeded",
    )


BODIES: Final[dict[str, Callable[[], errors.ApiError]]] = {
    "server_error": errors.server_error,
    "overloaded": errors.overloaded,
    "rate_limit": _rate_limited,
    "insufficient_quota": errors.no_quota,
    "invalid_api_key": lambda: errors.wrong_key("sk-sandbox-0000000000000000"),
    "model_not_found": lambda: errors.unknown_model("text-embedding-3-small"),
    "no_access": lambda: errors.no_access("text-embedding-3-small"),
    "invalid_input": errors.invalid_input,
    "budget_exceeded": errors.budget_exceeded,
    "key_not_valid": errors.key_not_valid,
    "forbidden": lambda: errors.ApiError(403, "Forbidden"),
    "not_a_number": errors.not_a_number,
    "batch_too_large": errors.batch_too_large,
}


@dataclasses.dataclass(slots=True)
class Rule:
    """One fault. ``times`` None: for ever; ``match_text``: only requests with an input that contains it.

    ``more_than``: only requests of more inputs. ``code`` overrides the HTTP status of ``body``. ``retry_after_seconds``
    is what ``given`` says.
    """

    kind: Kind
    times: int | None = None
    probability: float = 1.0
    match_text: str | None = None
    more_than: int | None = None
    delay_ms: float = 0.0
    code: int | None = None
    body: str = "server_error"
    retry_after: RetryAfter = RetryAfter.GIVEN
    retry_after_seconds: float = _SHORT_WAIT_SECONDS
    after_work: bool = False
    fired: int = 0

    @classmethod
    def parse(cls, fields: Any) -> Rule:
        """Read a rule from JSON. Raises ValueError naming the field that is wrong."""
        if not isinstance(fields, dict):
            message = "a rule is an object"
            raise ValueError(message)  # noqa: TRY004 - callers handle one kind of error
        known = {field.name for field in dataclasses.fields(cls)} - {"fired"}
        if unknown := sorted(set(fields) - known):
            message = f"unknown fields: {', '.join(unknown)}"
            raise ValueError(message)
        if "kind" not in fields:
            message = "kind is missing"
            raise ValueError(message)
        given = dict(fields)
        given["kind"] = Kind(given["kind"])
        given["retry_after"] = RetryAfter(given.get("retry_after", RetryAfter.GIVEN))
        rule = cls(**given)
        rule._check()
        return rule

    def _check(self) -> None:
        wrong = {
            "times": not (self.times is None or _is_number(self.times, int)),
            "probability": not _is_number(self.probability, int, float) or self.probability > 1,
            "delay_ms": not _is_number(self.delay_ms, int, float),
            "retry_after_seconds": not _is_number(self.retry_after_seconds, int, float),
            "more_than": not (self.more_than is None or _is_number(self.more_than, int)),
            "code": not (self.code is None or _is_number(self.code, int)),
            "body": self.body not in BODIES,
            "match_text": not (self.match_text is None or (isinstance(self.match_text, str) and self.match_text)),
            "after_work": not isinstance(self.after_work, bool),
        }
        wrong["match_text"] |= self.kind is Kind.BAD_ROW and self.match_text is None
        if names := [name for name, is_wrong in wrong.items() if is_wrong]:
            message = f"wrong value: {', '.join(names)}"
            raise ValueError(message)

    def describe(self) -> dict[str, Any]:
        """Return the rule as JSON, with the number of times it was carried out."""
        return dataclasses.asdict(self)

    def error(self) -> errors.ApiError | None:
        """Return the error that answers the request; None where this kind answers otherwise."""
        if self.kind is Kind.BAD_ROW:
            return errors.invalid_input()
        if self.kind is not Kind.STATUS:
            return None
        error = BODIES[self.body]()
        error.status = self.code or error.status
        may_wait = error.status in (429, 503) and error.code != "insufficient_quota"
        if may_wait and self.retry_after is not RetryAfter.ABSENT:
            absurd = self.retry_after is RetryAfter.ABSURD
            seconds = ABSURD_SECONDS if absurd else self.retry_after_seconds
            error.headers |= rates.retry_headers(seconds)
            error.headers["x-ratelimit-reset-requests"] = rates.duration(seconds)
        return error

    def spoil(self, vectors: words.Floats) -> tuple[words.Floats, list[int]]:
        """Return what is sent in place of ``vectors`` (rows, dimensions), with the index of each row."""
        indexes = list(range(len(vectors)))
        if self.kind is Kind.MISSING:
            return vectors[:-1], indexes[:-1]
        if self.kind is Kind.SHUFFLE:
            np.random.default_rng(len(vectors)).shuffle(indexes)
            return vectors[indexes], indexes
        if self.kind is Kind.WRONG_DIMENSION:
            return vectors[:, :-1], indexes
        if self.kind is Kind.NAN:
            vectors[0, 0] = np.nan
        elif self.kind is Kind.ZERO_VECTOR:
            vectors[0] = 0.0
        return vectors, indexes


class Script:
    """The rules in force. ``load`` with a seed makes probabilities repeatable. Used from the event loop only."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._random = np.random.default_rng(0)

    def load(self, rules: Sequence[Rule], seed: int = 0) -> None:
        """Replace all rules."""
        self.rules = list(rules)
        self._random = np.random.default_rng(seed)

    def pick(self, texts: Sequence[str]) -> Rule | None:
        """Return the rule to carry out for a request with these inputs, counting it; None: all is well."""
        for rule in self.rules:
            if rule.times is not None and rule.fired >= rule.times:
                continue
            if rule.match_text is not None and not any(rule.match_text in text for text in texts):
                continue
            if rule.more_than is not None and len(texts) <= rule.more_than:
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            rule.fired += 1
            return rule
        return None


def _is_number(value: object, *kinds: type) -> bool:
    """Say whether ``value`` is a non-negative number of one of ``kinds``; a boolean is none."""
    return type(value) in kinds and value >= 0  # type: ignore[operator]  # the kinds are numbers

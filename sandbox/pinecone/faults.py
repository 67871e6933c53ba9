"""Scripted faults: rules that make chosen calls fail the way that a network or a provider does."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.pinecone import errors

KINDS = (
    *("status", "slow", "hang", "reset", "partial", "refuse_record", "refuse_all", "outage"),
    *("month_used", "storage_full"),
)


class ConnectionResetFault(Exception):
    """The connection is to be dropped without an answer."""


@dataclass(slots=True)
class Rule:
    """One rule; the first that matches a call and is not used up is applied.

    Attributes:
        op: An operation (`upsert`, `query`, `describe_index` …) or `*`.
        kind: One of `KINDS`.
        times: How often it applies; None: always.
        probability: Of applying to a call that matches.
        delay_ms: Waited before it takes effect; what `slow` is about.
        match_id: Only calls that name an id containing this; for `refuse_record` the record to refuse.
        namespace: Only calls on this namespace.
        status: HTTP status of `status` (429, 500, 503, 403, 404 …); gRPC gets its twin.
        message: The text of the error.
        retry_after: Seconds, sent with `status`.
        keep: How many vectors a `partial` upsert stores; None: half of them.
        when: `before` the operation, or `after` it: done, but the answer is late or lost.

    """

    op: str = "*"
    kind: str = "status"
    times: int | None = None
    probability: float = 1.0
    delay_ms: float = 0
    match_id: str | None = None
    namespace: str | None = None
    status: int = 503
    message: str = "scripted fault"
    retry_after: float | None = None
    keep: int | None = None
    when: str = "before"
    applied: int = field(default=0)

    def __post_init__(self) -> None:
        """Refuse rules that could never do what they say."""
        if self.kind not in KINDS:
            raise errors.invalid(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.when not in ("before", "after"):
            raise errors.invalid(f"when must be before or after, got {self.when!r}")
        if self.kind == "status" and self.status not in errors.CODE_OF_HTTP_STATUS:
            raise errors.invalid(f"status {self.status} has no gRPC twin")

    def matches(self, op: str, namespace: str, ids: Sequence[str]) -> bool:
        """Whether the rule applies to a call; counts it if so."""
        if self.kind != "outage" and self.op not in ("*", op):
            return False
        if self.times is not None and self.applied >= self.times:
            return False
        if self.namespace is not None and self.namespace != namespace:
            return False
        if self.match_id is not None and self.first_match(ids) is None:
            return False
        if self.probability < 1 and random.random() >= self.probability:
            return False
        self.applied += 1
        return True

    def first_match(self, ids: Sequence[str]) -> str | None:
        """Return the first id that contains `match_id`."""
        return next((name for name in ids if (self.match_id or "") in name), None)


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        """Start without any."""
        self.rules: list[Rule] = []
        self._cleared = asyncio.Event()

    def replace(self, rules: Sequence[dict[str, Any]]) -> None:
        """Put new rules in place of all others; calls that hang are let go with UNAVAILABLE."""
        try:
            parsed = [Rule(**rule) for rule in rules]
        except TypeError as error:
            raise errors.invalid(str(error)) from error
        self.rules = parsed
        self._cleared.set()
        self._cleared = asyncio.Event()

    def find(self, op: str, namespace: str, ids: Sequence[str]) -> Rule | None:
        """Return the rule for a call, None for most."""
        return next((rule for rule in self.rules if rule.matches(op, namespace, ids)), None)

    async def apply(self, rule: Rule, ids: Sequence[str]) -> None:
        """Do what the rule says; return if the call goes on.

        Raises:
            ApiError: The call is refused.
            ConnectionResetFault: The connection is to be dropped.

        """
        await _pause(rule.delay_ms / 1000)
        if rule.kind == "hang":
            await self._cleared.wait()
        if rule.kind in ("hang", "outage"):
            raise errors.ApiError(errors.Code.UNAVAILABLE, rule.message, rule.retry_after)
        if rule.kind == "reset":
            raise ConnectionResetFault
        if rule.kind == "refuse_record":
            raise errors.invalid(f"Vector ID '{rule.first_match(ids)}' is refused: {rule.message}")
        if rule.kind == "refuse_all":
            raise errors.invalid(rule.message)
        if rule.kind == "month_used":
            raise errors.month_used()
        if rule.kind == "storage_full":
            raise errors.storage_full()
        if rule.kind == "status":
            raise errors.ApiError(errors.CODE_OF_HTTP_STATUS[rule.status], rule.message, rule.retry_after)


async def _pause(seconds: float) -> None:
    """Wait so long in full: uvloop counts from when it last looked at the clock, which a busy loop did a while ago."""
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:  # noqa: ASYNC110 (it is the clock that is waited for)
        await asyncio.sleep(left)

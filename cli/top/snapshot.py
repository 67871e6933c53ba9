"""The line as two of its calls tell it at one moment; nothing is computed that they do not say."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Protocol, TypeVar

import vectorline_client
from vectorline_client import messages

Answer = TypeVar("Answer")


class Line(Protocol):
    """A client of the line; `vectorline_client.Client`."""

    def call(self, method: str, answer: type[Answer], **fields: Any) -> Answer:
        """Any public method with one answer."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Queue, limiter, workers and what is down (from embedder); tasks, rates and anomalies (from indexer)."""

    health: messages.DetailedHealth
    dashboard: messages.Dashboard

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Severity and sentence, as both say: critical first."""
        found = [
            ("critical" if self.health.status == "unhealthy" else "warning", each) for each in self.health.problems
        ]
        found += [(each.severity, each.message) for each in self.dashboard.anomalies]
        return sorted(found, key=lambda warning: warning[0] != "critical")


def take(line: Line, hours: int) -> Snapshot:
    """Ask.

    Args:
        line: The client.
        hours: Statistics and anomalies are of the last so many hours.

    Raises:
        vectorline_client.VectorlineError: The line does not answer, or not to this key.
    """
    health = line.call("GetDetailedHealth", messages.DetailedHealth)
    return Snapshot(health, line.call("GetDashboard", messages.Dashboard, hours=hours))


def document(taken: Snapshot) -> str:
    """The same as one line of JSON, each part as REST would print it."""
    parts = {name: vectorline_client.as_dict(getattr(taken, name)) for name in ("health", "dashboard")}
    return json.dumps(parts, ensure_ascii=False)

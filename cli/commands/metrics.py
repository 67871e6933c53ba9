"""``vectorline metrics``: the counters of the indexer that answers."""

from __future__ import annotations

import typer

from cli import session
from vectorline_client import messages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("metrics", epilog=session.examples("metrics", "metrics --json"))(metrics)


def metrics(context: typer.Context) -> None:
    """Print the counters and gauges of the indexer that answers. METRICS_PORT has those of every process."""
    here = session.of(context)
    with here.line() as line:
        answer = line.call("GetMetrics", messages.Metrics)
    here.screen.emit(answer)
    for each in answer.metrics:
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(each.labels.items()))
        here.screen.say(f"{each.name}{{{labels}}} {each.value:.15g}" if labels else f"{each.name} {each.value:.15g}")

"""The files that are made from the code, and kept: a test demands that they are what the code gives."""

import pathlib
from typing import Final

from observe import cloudwatch, dashboards, grafana, reference, stacks

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent


def made() -> dict[str, str]:
    """Each file's place in the repository and its text."""
    return {
        "docs/metrics.md": reference.page(),
        "deploy/observe/cloudwatch-agent.json": cloudwatch.agent(),
        "deploy/observe/cloudwatch-alarms.json": cloudwatch.template(),
        **stacks.made(),
        **{f"deploy/observe/grafana-{each.name}.json": grafana.dashboard(each) for each in dashboards.ALL},
        **{f"deploy/observe/cloudwatch-{each.name}.json": cloudwatch.dashboard(each) for each in dashboards.ALL},
    }


def write() -> list[str]:
    """Write what changed; answers where."""
    changed = []
    for place, text in made().items():
        path = ROOT / place
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(place)
    return changed

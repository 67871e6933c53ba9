"""A dashboard as Grafana imports it: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model."""

import json
from typing import Any, Final

from observe import panels

SCHEMA: Final = 39
COLUMNS: Final = 24  # of Grafana's grid
HEIGHT: Final = 8
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard(made: panels.Dashboard) -> str:
    """The whole file."""
    model = {
        "uid": f"vectorline-{made.name}",
        "title": made.title,
        "description": made.words,
        "tags": ["vectorline"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), *(_variable(each) for each in made.variables)]},
        "panels": [_panel(number, each) for number, each in enumerate(made.panels)],
    }
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"


def _source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(variable: panels.Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({variable.metric}, {variable.label})", "refId": variable.name},
        "refresh": 2,  # whenever the time range changes
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _panel(number: int, panel: panels.Panel) -> dict[str, Any]:
    width = COLUMNS // panels.A_ROW
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.words,
        "datasource": SOURCE,
        "gridPos": {"x": number % panels.A_ROW * width, "y": number // panels.A_ROW * HEIGHT, "w": width, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {
                "unit": str(panel.unit),
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {
                    "fillOpacity": 20 if panel.stacked else 0,
                    "stacking": {"mode": "normal" if panel.stacked else "none"},
                    "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
                },
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [_target(place, query) for place, query in enumerate(panel.queries)],
    }


def _target(place: int, query: panels.Query | panels.Share) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": query.promql(),
        "legendFormat": legend(query),
        "range": True,
    }


def legend(query: panels.Query | panels.Share) -> str:
    """What a line is called: its words, or its labels."""
    return query.legend or " ".join(f"{{{{{label}}}}}" for label in query.by) or "all"

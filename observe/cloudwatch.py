"""The same dashboards for CloudWatch, the plan's alarms there, and the agent that brings the metrics.

The agent scrapes as Prometheus does and sends counters as their growth since the last scrape, gauges as they are; it
drops histograms. Envoy's times come as a summary instead (`histogram_buckets=summary`: of its last five seconds); what
only our own histograms know is not in CloudWatch, and the panel says so.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContainerInsights-Prometheus-metrics-conversion.html
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final

from observe import alarms, dashboards, panels, scaling

NAMESPACE: Final = "Vectorline"
REGION: Final = "us-east-1"
PERIOD_SECONDS: Final = 60  # as the agent scrapes
COLUMNS: Final = 24
HEIGHT: Final = 5
SUMMARY: Final = "envoy_"
SCRAPED: Final = "/etc/cwagentconfig/prometheus.yaml"

Asked = panels.Query | panels.Share


@dataclasses.dataclass(frozen=True)
class Published:
    """A metric with the dimensions that it is published under; each set of them is a metric of its own there."""

    metric: str
    dimensions: tuple[str, ...]


def dashboard(made: panels.Dashboard, namespace: str = NAMESPACE) -> str:
    """A dashboard's body: `aws cloudwatch put-dashboard --dashboard-body file://…`."""
    return _text({"widgets": [_widget(number, each, namespace) for number, each in enumerate(made.panels)]})


def template() -> str:
    """The alarms as a CloudFormation template; they tell the SNS topic that is its parameter."""
    return _text(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": "Vectorline: the alarms of the plan on the metrics that the CloudWatch agent brings.",
            "Parameters": {"Topic": {"Type": "String", "Description": "ARN of the SNS topic that hears of them."}},
            "Resources": {each.name: alarm(each) for each in alarms.ALL},
        }
    )


def agent(namespace: str = NAMESPACE) -> str:
    """The agent's configuration. It publishes what dashboards and alarms ask for, since each metric costs."""
    return _text(
        {
            "logs": {
                "metrics_collected": {
                    "prometheus": {
                        "log_group_name": "/vectorline/prometheus",
                        "prometheus_config_path": SCRAPED,
                        "emf_processor": {
                            "metric_namespace": namespace,
                            "metric_declaration": [
                                {
                                    "source_labels": ["job"],
                                    "label_matcher": "^(ingest|embedder|indexer|envoy)$",
                                    "dimensions": [list(each.dimensions)],
                                    "metric_selectors": [f"^{each.metric}$"],
                                }
                                for each in published()
                            ],
                        },
                    }
                }
            }
        }
    )


def published() -> list[Published]:
    """All that dashboards, alarms and scaling ask CloudWatch for."""
    found = {
        _published(part)
        for made in dashboards.ALL
        for panel in made.panels
        for query in panel.queries
        for part in _parts(query)
        if known(part)
    }
    found |= {
        Published(each.name, tuple(each.dimensions))
        for made in (*alarms.ALL, *scaling.ALL)
        for each in made.metrics.values()
    }
    return sorted(found, key=lambda each: (each.metric, each.dimensions))


def known(query: panels.Query) -> bool:
    """Whether the agent brings it: anything but our own histograms."""
    return not isinstance(query, panels.Quantile) or query.metric.startswith(SUMMARY)


def alarm(made: alarms.Alarm, namespace: Any = NAMESPACE) -> dict[str, Any]:
    """An alarm as a resource. Where nothing is counted there is nothing to alarm of."""
    asked: list[dict[str, Any]] = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Period": made.period_seconds,
                "Stat": each.statistic,
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": each.name,
                    "Dimensions": [{"Name": label, "Value": value} for label, value in each.dimensions.items()],
                },
            },
        }
        for name, each in made.metrics.items()
    ]
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": f"vectorline-{made.name}",
            "AlarmDescription": f"{made.words} docs/runbooks/{made.name}.md",
            "Metrics": [{"Id": "alarm", "Expression": made.expression, "ReturnData": True}, *asked],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": made.above,
            "EvaluationPeriods": made.periods,
            "TreatMissingData": "notBreaching",
            "AlarmActions": [{"Ref": "Topic"}],
            "OKActions": [{"Ref": "Topic"}],
        },
    }


# ---- inside


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _parts(query: Asked) -> Iterator[panels.Query]:
    if isinstance(query, panels.Share):
        yield from (query.part, query.whole)
    else:
        yield query


def _fixed(query: panels.Query) -> dict[str, str]:
    """Labels with the one value that they have to have; what is chosen above a dashboard, or excluded, is not there."""
    fixed = {label: words for label, words in query.where.items() if words.replace("_", "").isalnum()}
    return fixed | ({"quantile": f"{query.quantile:g}"} if isinstance(query, panels.Quantile) else {})


def _published(query: panels.Query) -> Published:
    return Published(query.metric, tuple(dict.fromkeys(("job", *query.by, *_fixed(query)))))


def _widget(number: int, panel: panels.Panel, namespace: str) -> dict[str, Any]:
    width = COLUMNS // panels.A_ROW
    place = {"x": number % panels.A_ROW * width, "y": number // panels.A_ROW * HEIGHT, "width": width, "height": HEIGHT}
    asked = [query for query in panel.queries if all(known(part) for part in _parts(query))]
    if not asked:
        words = f"**{panel.title}**\n\nA histogram, which the agent does not bring: see it in Grafana."
        return {"type": "text", **place, "properties": {"markdown": words}}
    properties: dict[str, Any] = {
        "title": panel.title,
        "view": "timeSeries",
        "stacked": panel.stacked,
        "region": REGION,
        "period": PERIOD_SECONDS,
        "metrics": [[_line(place_, query, namespace)] for place_, query in enumerate(asked)],
        "yAxis": {"left": {"min": 0, "showUnits": False}},
    }
    if panel.limit is not None:
        properties["annotations"] = {"horizontal": [{"label": "limit", "value": panel.limit}]}
    return {"type": "metric", **place, "properties": properties}


def _line(place: int, query: Asked, namespace: str) -> dict[str, str]:
    label = query.legend or " ".join(f"${{PROP('Dim.{label}')}}" for label in query.by)
    line = {"id": f"e{place}", "expression": _expression(query, namespace)}
    return line | ({"label": label} if label else {})


def _expression(query: Asked, namespace: str) -> str:
    """In metric math, where a quotient of two searches does not exist: a share is that of all lines together."""
    if isinstance(query, panels.Share):
        return f"SUM({_search(query.part, namespace)}) / SUM({_search(query.whole, namespace)})"
    found = _search(query, namespace)
    if not query.by:
        found = f"{'MAX' if isinstance(query, panels.Once) else 'SUM'}({found})"
    if isinstance(query, panels.Rate):
        found = f"{found} / {PERIOD_SECONDS / query.times:g}"
    return found


def _search(query: panels.Query, namespace: str) -> str:
    told = "".join(f' {label}="{value}"' for label, value in _fixed(query).items())
    schema = ",".join((namespace, *_published(query).dimensions))
    return f"SEARCH('{{{schema}}} MetricName=\"{query.metric}\"{told}', '{_statistic(query)}', {PERIOD_SECONDS})"


def _statistic(query: panels.Query) -> str:
    adds = isinstance(query, panels.Rate) or (isinstance(query, panels.Total) and "instance" not in query.by)
    return "Sum" if adds else "Maximum"

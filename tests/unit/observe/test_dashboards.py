"""The dashboards' definition, and what Grafana and CloudWatch are given of it."""

import json
import re
from typing import Any

import pytest

from observe import alarms, cloudwatch, dashboards, grafana, panels, reference

EVERY = [(made, panel) for made in dashboards.ALL for panel in made.panels]
IDS = [f"{made.name}-{panel.title}" for made, panel in EVERY]


def parts(query: panels.Query | panels.Share) -> tuple[panels.Query, ...]:
    return (query.part, query.whole) if isinstance(query, panels.Share) else (query,)


@pytest.mark.parametrize("made", dashboards.ALL, ids=lambda made: made.name)
def test_a_dashboard_is_one_screen(made: panels.Dashboard) -> None:
    model = json.loads(grafana.dashboard(made))

    assert len(made.panels) in (9, 12)
    assert [each["title"] for each in model["panels"]] == [panel.title for panel in made.panels]
    places = {(each["gridPos"]["x"], each["gridPos"]["y"]) for each in model["panels"]}
    assert len(places) == len(made.panels)
    assert {each["name"] for each in model["templating"]["list"]} == {"datasource", *(v.name for v in made.variables)}


@pytest.mark.parametrize(("made", "panel"), EVERY, ids=IDS)
def test_a_panel_takes_its_metrics_over_replicas_as_the_reference_says(
    made: panels.Dashboard, panel: panels.Panel
) -> None:
    known = {each.name: each for each in reference.entries()}
    for query in (part for asked in panel.queries for part in parts(asked)):
        metric = known.get(query.metric)
        if metric is None:
            assert query.metric.startswith(("envoy_", "process_")), query.metric
            continue
        assert set(query.by) | set(query.where) <= {*metric.labels, "job", "instance"}, query.metric
        if isinstance(query, panels.Quantile):
            assert metric.kind == "histogram"
        elif isinstance(query, panels.Rate):
            assert metric.kind == "counter"
        elif metric.over == "max":
            assert isinstance(query, panels.Once), f"{query.metric} is the same in every replica"
        elif metric.over == "each":
            assert {"job"} <= set(query.by), f"{query.metric} is of one process"


def test_queries_are_promql_as_one_would_write_it() -> None:
    failed = panels.Rate("x_total", ("job",), {"outcome": "failed|lost", "method": "!/health.+"})
    whole = panels.Rate("x_total", ("job",))

    assert (
        failed.promql() == 'sum by (job) (rate(x_total{outcome=~"failed|lost", method!~"/health.+"}[$__rate_interval]))'
    )
    assert panels.Share(failed, whole).promql() == f"{failed.promql()} / {whole.promql()}"
    assert panels.Once("depth").promql() == "max(depth)"
    assert panels.Quantile("t_seconds", ("size",)).promql() == (
        "histogram_quantile(0.95, sum by (le, size) (rate(t_seconds_bucket[$__rate_interval])))"
    )


def searches(widget: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    text = json.dumps([line[0]["expression"] for line in widget["properties"].get("metrics", [])])
    found = re.findall(r"\{Vectorline,([\w,]+)\} MetricName=\\+\"(\w+)", text)
    return [(tuple(dimensions.split(",")), metric) for dimensions, metric in found]


@pytest.mark.parametrize("made", dashboards.ALL, ids=lambda made: made.name)
def test_cloudwatch_is_asked_for_what_the_agent_publishes(made: panels.Dashboard) -> None:
    published = {(each.dimensions, each.metric) for each in cloudwatch.published()}
    widgets = json.loads(cloudwatch.dashboard(made))["widgets"]

    assert [each["properties"].get("title") for each in widgets if each["type"] == "metric"]
    asked = {each for widget in widgets for each in searches(widget)}
    assert asked
    assert asked <= published
    for widget, panel in zip(widgets, made.panels, strict=True):
        own_histograms_only = not any(all(map(cloudwatch.known, parts(query))) for query in panel.queries)
        assert (widget["type"] == "text") == own_histograms_only, panel.title


def test_the_agent_publishes_no_histogram_and_no_more_than_is_asked_for() -> None:
    kinds = {each.name: each.kind for each in reference.entries()}
    declared = json.loads(cloudwatch.agent())["logs"]["metrics_collected"]["prometheus"]["emf_processor"][
        "metric_declaration"
    ]

    assert len(declared) == len(cloudwatch.published())
    for each in declared:
        (selector,) = each["metric_selectors"]
        assert kinds.get(selector.strip("^$")) != "histogram"


def test_alarms_are_a_template_that_names_metrics_the_agent_publishes() -> None:
    template = json.loads(cloudwatch.template())
    published = {(frozenset(each.dimensions), each.metric) for each in cloudwatch.published()}

    assert len(template["Resources"]) >= 11
    for alarm in template["Resources"].values():
        shown, *asked = alarm["Properties"]["Metrics"]
        assert shown["ReturnData"]
        for metric in (each["MetricStat"]["Metric"] for each in asked):
            dimensions = frozenset(each["Name"] for each in metric["Dimensions"])
            assert (dimensions, metric["MetricName"]) in published


@pytest.mark.parametrize("alarm", alarms.ALL, ids=lambda alarm: alarm.name)
def test_an_alarm_asks_for_metrics_with_labels_that_the_code_gives_them(alarm: alarms.Alarm) -> None:
    known = {each.name: each for each in reference.entries()}
    for asked in alarm.metrics.values():
        if not asked.name.startswith("envoy_"):
            assert set(asked.dimensions) <= {"job", *known[asked.name].labels}, asked.name
            assert known[asked.name].kind != "histogram"
            assert (asked.statistic == "Sum") == (known[asked.name].kind == "counter")

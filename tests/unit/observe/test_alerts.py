"""The alerts against their runbooks, their tests and the metrics that there are."""

import re
from typing import Any

import pytest
import yaml

from observe import alarms, files, reference, rules
from tests.support import prometheus

DEPLOYED = files.ROOT / "deploy" / "observe"
RUNBOOKS = files.ROOT / "docs" / "runbooks"
PARTS = ("What you see", "Why", "What to do", "How you know that it is over")
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(rules.alerts())["groups"] for rule in group["rules"]
}
TESTS: dict[str, dict[str, Any]] = {
    test["name"]: test
    for path in DEPLOYED.glob("alerts*_test.yaml")
    for test in yaml.safe_load(path.read_text())["tests"]
}
# Of others than our code: tests/e2e/test_watched.py asks a real Prometheus for them.
FOREIGN = re.compile(r"up|envoy_\w+|process_\w+")


def names_in(expression: str) -> set[str]:
    """The metrics of an expression: what stands before a brace, a bracket or an operator."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on) \([^)]*\)", " ", expression)
    functions = r"(sum|max|min|rate|increase|histogram_quantile|time|unless|or|offset|by|on)"
    return {word for word in re.findall(r"\b[a-z_]{2,}\b", bare) if not re.fullmatch(functions, word)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_means_and_has_a_runbook_of_four_parts(name: str) -> None:
    rule = ALERTS[name]
    text = (RUNBOOKS / f"{name}.md").read_text()

    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(PARTS)
    assert text.startswith(f"# {name}\n")


def test_there_is_a_runbook_for_nothing_else() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*ALERTS, "README"}


def test_the_page_for_operators_links_to_every_runbook_and_to_pictures_that_are_there() -> None:
    text = (files.ROOT / "docs" / "operating.md").read_text()

    assert set(re.findall(r"\]\(runbooks/(\w+)\.md\)", text)) == set(ALERTS)
    for place in re.findall(r"\]\(([^)]+)\)", text):
        assert (files.ROOT / "docs" / place).exists(), place


def test_runbooks_link_to_what_there_is() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for place in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert (RUNBOOKS / place).exists(), f"{path.name}: {place}"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_metrics_that_there_are(name: str) -> None:
    ours = {each.name + suffix for each in reference.entries() for suffix in ("", "_bucket", "_count", "_sum")}
    named = names_in(ALERTS[name]["expr"])

    assert named
    assert not {each for each in named if each not in ours and not FOREIGN.fullmatch(each)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_was_seen_silent_firing_and_resolved(name: str) -> None:
    moments = [bool(each.get("exp_alerts")) for each in TESTS[name]["alert_rule_test"] if each["alertname"] == name]

    assert moments == [False, True, False]


def test_prometheus_takes_rules_and_configurations() -> None:
    for arguments in (
        ("test", "rules", "alerts_test.yaml", "alerts_day_test.yaml"),
        ("check", "config", "prometheus.yaml"),
        ("check", "config", "cloudwatch-prometheus.yaml"),
    ):
        code, words = prometheus.promtool(*arguments, folder=DEPLOYED)
        assert code == 0, words


def test_hurried_rules_are_the_same_but_for_their_times(tmp_path: Any) -> None:
    (tmp_path / "alerts.yaml").write_text(rules.alerts(12))
    code, words = prometheus.promtool("check", "rules", "alerts.yaml", folder=tmp_path)

    assert code == 0, words
    assert "[25s]" in rules.alerts(12)
    assert re.sub(r"\d+[smhd]\b", "", rules.alerts(12)) == re.sub(r"\d+[smhd]\b", "", rules.alerts())


def test_an_alarm_of_cloudwatch_has_the_name_and_the_runbook_of_an_alert() -> None:
    assert {each.name for each in alarms.ALL} <= set(ALERTS)
    for alarm in alarms.ALL:
        named = set(re.findall(r"\b[a-z_]\w*\b", alarm.expression)) - {"e"}
        assert set(alarm.metrics) == named, alarm.name
        assert alarm.period_seconds * alarm.periods <= 86_400, "CloudWatch looks back a day"

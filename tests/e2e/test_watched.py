"""A real Prometheus and Alertmanager watch a line: every panel shows a value, and alerts fire and resolve."""

import collections
import contextlib
import itertools
import json
import math
import pathlib
import re
import signal
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from observe import alarms, cloudwatch, dashboards, panels, rules, watch
from tests.support import csvs, prometheus
from tests.support.line import Line, wait_for

SCRAPE_SECONDS = 1.0
# The rules' times divided by this: five minutes are 25 seconds, one is five.
HURRY = 12.0
WINDOW = "30s"


class Load:
    """Callers: uploads of their own questions one after the other, searches, and looks at tasks."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.tasks: list[str] = []

    def _run(self) -> None:
        content = csvs.of(csvs.rows(1_500))
        for question in itertools.count(7_000):
            with contextlib.suppress(httpx.HTTPError, AssertionError):  # a caller that hears an error goes on
                self.tasks.append(self._line.upload(content, namespace="watched", question_id=question))
                self._line.rest.post("/api/v1/search", json={"text": "a thing", "namespace": "watched"})
                self._line.rest.get(f"/api/v1/status/{self.tasks[-1]}")
                self._line.process(data_source="s3_csv", s3_key="there/is/none.csv", question_id=question)
            if self._ended.wait(0.7):
                return

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture(scope="module")
def watched(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[watch.Watch]:
    """Under load, so that everything that is counted has something to count."""
    prometheus.binary("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    ports = json.loads((line.folder / "ports.json").read_text())
    with watch.watching(folder, ports, rules.alerts(HURRY), scrape_seconds=SCRAPE_SECONDS) as seen, Load(line):
        yield seen


def asked(query: panels.Query | panels.Share, dashboard: panels.Dashboard, chosen: dict[str, str]) -> str:
    """A panel's query as Grafana sends it: with what is chosen above the dashboard."""
    text = query.promql().replace(panels.WINDOW, WINDOW)
    for variable in dashboard.variables:
        text = text.replace(f"${variable.name}", chosen[variable.name])
    assert "$" not in text
    return text


PANELS = [
    (dashboard, panel, query) for dashboard in dashboards.ALL for panel in dashboard.panels for query in panel.queries
]


@pytest.mark.parametrize(
    ("dashboard", "panel", "query"),
    PANELS,
    ids=[f"{dashboard.name}-{panel.title}-{query.promql()[:30]}" for dashboard, panel, query in PANELS],
)
def test_every_query_of_every_panel_shows_a_value(
    watched: watch.Watch, dashboard: panels.Dashboard, panel: panels.Panel, query: panels.Query | panels.Share
) -> None:
    def shows(chosen: dict[str, str]) -> bool:
        return any(math.isfinite(value) for _, value in watched.query(asked(query, dashboard, chosen)))

    everything = dict.fromkeys((variable.name for variable in dashboard.variables), ".*")
    wait_for(f"a value in {panel.title!r} ({query.promql()})", lambda: shows(everything))
    for variable in dashboard.variables:
        if f"${variable.name}" in query.promql():
            values = {labels[variable.label] for labels, _ in watched.query(variable.metric)}
            # As Grafana writes a chosen value into a regular expression within a string.
            chosen = [re.escape(value).replace("\\", "\\\\") for value in values]
            assert any(shows({variable.name: each}) for each in chosen), "none of what may be chosen"


def exposed(watched: watch.Watch, name: str, **labels: str) -> bool:
    """Whether there is such a metric; Envoy's quantiles are of the same name, and known to the agent by the summary."""
    told = ", ".join(words for label, words in labels.items() if label != "quantile")
    return bool(watched.query(f"count({name}{'_bucket' if 'quantile' in labels else ''}{{{told}}})"))


def rare(name: str) -> bool:
    """What is there only once it happened (a throttle), or where it is used (keys that end).

    tests/unit/observe holds these, and all others, against the metrics of the code.
    """
    return name in ("vectorline_aws_calls_total", "vectorline_credential_expires_timestamp_seconds")


def test_what_cloudwatch_is_sent_is_what_the_line_exposes(watched: watch.Watch) -> None:
    def missing() -> list[cloudwatch.Published]:
        return [
            each
            for each in cloudwatch.published()
            if not rare(each.metric)
            and not exposed(watched, each.metric, **{label: f'{label}!=""' for label in each.dimensions})
        ]

    wait_for("every metric of dashboards and alarms", lambda: not missing())


def test_each_alarm_of_cloudwatch_asks_for_what_the_line_exposes(watched: watch.Watch) -> None:
    def missing() -> list[alarms.Metric]:
        return [
            each
            for alarm in alarms.ALL
            for each in alarm.metrics.values()
            if not rare(each.name)
            and not exposed(watched, each.name, **{key: f'{key}="{value}"' for key, value in each.dimensions.items()})
        ]

    wait_for("every metric of every alarm", lambda: not missing())


def test_every_endpoint_follows_the_conventions(watched: watch.Watch, line: Line) -> None:
    ports = json.loads((line.folder / "ports.json").read_text())
    for name, port in ports.items():
        if name.endswith("-metrics") and (line.folder / f"{name.removesuffix('-metrics')}.pid").exists():
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            assert prometheus.promtool("check", "metrics", given=text) == (0, ""), name


def heard(watched: watch.Watch, name: str, status: str) -> Callable[[], watch.Notice | None]:
    return lambda: next((each for each in watched.notices if (each.name, each.status) == (name, status)), None)


def test_an_outage_of_openai_is_heard_of_and_so_is_its_end(watched: watch.Watch, line: Line) -> None:
    openai = line.endpoints["OPENAI_BASE_URL"].removesuffix("/v1")
    assert not heard(watched, "OpenAIFailing", "firing")()

    httpx.put(f"{openai}/_sandbox/faults", json=[{"kind": "status", "body": "server_error"}]).raise_for_status()
    try:
        fired = wait_for("the alert", heard(watched, "OpenAIFailing", "firing"))
    finally:
        httpx.delete(f"{openai}/_sandbox/faults").raise_for_status()
    assert "of the requests to OpenAI fail" in fired.annotations["summary"]
    assert (pathlib.Path.cwd() / fired.annotations["runbook_url"]).exists()
    assert wait_for("its end", heard(watched, "OpenAIFailing", "resolved")).at > fired.at


def test_a_process_that_stands_still_is_heard_of_and_so_is_its_return(watched: watch.Watch, line: Line) -> None:
    pid = line.kill("embedder-2", signal.SIGSTOP)
    try:
        fired = wait_for("the alert", heard(watched, "ServiceDown", "firing"))
    finally:
        assert line.kill("embedder-2", signal.SIGCONT) == pid
    assert fired.labels["job"] == "embedder"
    wait_for("its end", heard(watched, "ServiceDown", "resolved"))
    assert collections.Counter(each.status for each in watched.notices if each.name == "ServiceDown") == {
        "firing": 1,
        "resolved": 1,
    }

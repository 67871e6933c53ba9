"""Envoy's own metrics, on a port that shows nothing else of its admin page."""

import pathlib
import time

import httpx
from prometheus_client import parser

from tests.integration.gateway import conftest as gateways
from tests.support import ports


def timed(text: str) -> dict[str, float]:
    return {
        sample.labels["envoy_virtual_cluster"]: sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "envoy_vhost_vcluster_upstream_rq_time_count"
    }


def test_each_method_is_timed_and_the_admin_page_stays_closed(
    upstream: gateways.Upstream, tmp_path: pathlib.Path
) -> None:
    port = ports.free()
    deadline = time.monotonic() + 30
    with gateways.started(upstream, tmp_path, ENVOY_METRICS_PORT=str(port)) as gateway:
        for _ in range(3):
            httpx.get(f"{gateway.url}/api/v1/tasks")
        # Envoy adds its workers' histograms up every five seconds.
        found: dict[str, float] = {}
        while found != {"StreamTasks": 3} and time.monotonic() < deadline:  # the three may fall to either side of it
            time.sleep(0.2)
            found = timed(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        others = [httpx.get(f"http://127.0.0.1:{port}{path}").status_code for path in ("/", "/stats", "/config_dump")]
        quit_ = httpx.post(f"http://127.0.0.1:{port}/quitquitquit").status_code

    assert found == {"StreamTasks": 3}
    assert (others, quit_) == ([404, 404, 404], 404)

"""A Prometheus and an Alertmanager that watch a line on this machine, and a webhook that hears what they say."""

import contextlib
import dataclasses
import http.server
import json
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from observe import servers

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
SERVICES: Final = ("ingest", "embedder", "indexer")


@dataclasses.dataclass(frozen=True)
class Notice:
    """That an alert fired or resolved, as the webhook heard it.

    Attributes:
        at: When it was heard, by `time.time`.
        name: Of the alert.
        status: `firing` or `resolved`.
        labels: Its labels.
        annotations: Its summary and its runbook.
    """

    at: float
    name: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Watch:
    """What is seen of a line.

    Args:
        url: Prometheus.
        notices: What the webhook heard; grows.
    """

    def __init__(self, url: str, notices: list[Notice]) -> None:
        self.url = url
        self.notices = notices
        self._http = httpx.Client(base_url=url, timeout=30.0)

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """The lines of an instant query: labels and value.

        Raises:
            ValueError: Prometheus does not understand it; in its words.
        """
        found = self._ask("query", {"query": expression} | ({"time": at} if at else {}))
        return [(each["metric"], float(each["value"][1])) for each in found]

    def query_range(
        self, expression: str, begin: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The lines of a query over a time: labels, and moments with values."""
        asked = {"query": expression, "start": begin, "end": end, "step": step}
        return [
            (each["metric"], [(float(at), float(value)) for at, value in each["values"]])
            for each in self._ask("query_range", asked)
        ]

    def _ask(self, what: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = self._http.get(f"/api/v1/{what}", params=dict(parameters)).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer.get('error')}: {parameters['query']}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


@contextlib.contextmanager
def watching(
    folder: pathlib.Path, ports: Mapping[str, int], rules: str, *, scrape_seconds: float = 5.0
) -> Iterator[Watch]:
    """Watch the line with these ports (ports.json of its folder) for as long as the block.

    Args:
        folder: For the configuration, the data and the logs.
        ports: By name, as `sandbox` keeps them.
        rules: The alert rules.
        scrape_seconds: Between two looks; also of the rules.

    Raises:
        servers.MissingServer: Prometheus or Alertmanager is not here.
    """
    prometheus, alertmanager = servers.command("prometheus"), servers.command("alertmanager")
    folder.mkdir(parents=True, exist_ok=True)
    notices: list[Notice] = []
    with contextlib.ExitStack() as stack:
        hook = stack.enter_context(_hearing(notices))
        (at_prometheus, at_alertmanager) = _free(2)
        (folder / "alertmanager.yaml").write_text(json.dumps(_alertmanager(hook)))
        (folder / "alerts.yaml").write_text(rules)
        (folder / "prometheus.yaml").write_text(json.dumps(_prometheus(ports, at_alertmanager, scrape_seconds)))
        commands = {
            f"http://{HOST}:{at_alertmanager}": [
                *alertmanager,
                "--config.file=alertmanager.yaml",
                "--storage.path=alertmanager",
                f"--web.listen-address={HOST}:{at_alertmanager}",
                "--cluster.listen-address=",  # it is alone
            ],
            f"http://{HOST}:{at_prometheus}": [
                *prometheus,
                "--config.file=prometheus.yaml",
                "--storage.tsdb.path=prometheus",
                f"--web.listen-address={HOST}:{at_prometheus}",
            ],
        }
        for url, command in commands.items():
            stack.enter_context(_running(command, folder, url))
        watch = Watch(f"http://{HOST}:{at_prometheus}", notices)
        stack.callback(watch.close)
        yield watch


# ---- inside


def _prometheus(ports: Mapping[str, int], alertmanager: int, scrape_seconds: float) -> dict[str, Any]:
    """The configuration; JSON is YAML."""
    jobs: list[dict[str, Any]] = [
        {
            "job_name": service,
            "static_configs": [{"targets": [f"{HOST}:{port}" for name, port in ports.items() if _is(name, service)]}],
        }
        for service in SERVICES
    ]
    # Beside the line the admin page can be reached; elsewhere ENVOY_METRICS_PORT shows the same.
    envoy = {"targets": [f"{HOST}:{ports['envoy-admin']}"]}
    jobs.append({"job_name": "envoy", "metrics_path": "/stats/prometheus", "static_configs": [envoy]})
    every = f"{round(scrape_seconds * 1000)}ms"
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["alerts.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{HOST}:{alertmanager}"]}]}]},
        "scrape_configs": jobs,
    }


def _is(name: str, service: str) -> bool:
    return name.startswith(f"{service}-") and name.endswith("-metrics")


def _alertmanager(hook: str) -> dict[str, Any]:
    quick = {"group_by": ["..."], "group_wait": "1ms", "group_interval": "1s", "repeat_interval": "1h"}
    return {
        "route": {"receiver": "hook", **quick},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": hook, "send_resolved": True}]}],
    }


@contextlib.contextmanager
def _hearing(notices: list[Notice]) -> Iterator[str]:
    """Alertmanager's webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            notices.extend(
                Notice(time.time(), each["labels"]["alertname"], each["status"], each["labels"], each["annotations"])
                for each in body["alerts"]
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the base's name)
            """Say nothing."""

    server = http.server.ThreadingHTTPServer((HOST, 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _running(command: list[str], folder: pathlib.Path, url: str) -> Iterator[None]:
    log = folder / f"{url.rpartition(':')[2]}.log"
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _ready(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise servers.MissingServer(f"{' '.join(command)} did not start:\n{log.read_text()[-2_000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def _free(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]

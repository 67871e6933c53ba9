"""A real process: it serves, and on SIGTERM it turns away, drains and ends, in that order and once."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

NAME = "vectorline.v1.EmbedderService"
PROGRAM = pathlib.Path(__file__).parent / "serving.py"


class Process:
    """One process of ours and its log."""

    def __init__(self, folder: pathlib.Path, **environment: str) -> None:
        self.log = folder / "out.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                env={**os.environ, "GRPC_HOST": "127.0.0.1", "GRPC_PORT": "0", "LEAVE_SECONDS": "0.3", **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def actions(self) -> list[str]:
        return [str(line.get("action")) for line in self.lines()]

    def until(self, condition: Callable[[], Any], seconds: float = 60.0, pause: float = 0.02) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(pause)
        raise AssertionError(self.log.read_text())

    def started(self) -> int:
        """The port."""
        line = self.until(lambda: next((each for each in self.lines() if each.get("action") == "started"), None))
        self.until(lambda: "health" in self.actions())
        return int(line["port"])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def process(folder: pathlib.Path, **environment: str) -> Iterator[Process]:
    running = Process(folder, **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait(10)


PRODUCTION = {"ENVIRONMENT": "production", "API_KEY": "k", "INTERNAL_TOKEN": "t"}


def status(port: int) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=NAME), timeout=30).status


def test_sigterm_turns_away_then_drains_then_closes_and_a_second_one_changes_nothing(tmp_path: pathlib.Path) -> None:
    with process(tmp_path, DRAIN_SECONDS="3") as running:
        port = running.started()
        assert status(port) == health_pb2.HealthCheckResponse.SERVING
        running.send(signal.SIGTERM)
        running.until(lambda: "drain_began" in running.actions())
        assert status(port) == health_pb2.HealthCheckResponse.NOT_SERVING, "calls are still served while it drains"
        running.send(signal.SIGTERM)
        running.send(signal.SIGINT)
        assert running.process.wait(60) == 0
        actions = running.actions()
        order = ["started", "draining", "drain_began", "drain_ended", "closed", "stopped"]
        assert [each for each in actions if each in order] == order
        assert "drain_cut" not in actions


def test_signals_that_come_until_the_very_end_change_nothing(tmp_path: pathlib.Path) -> None:
    with process(tmp_path) as running:
        running.started()
        running.until(lambda: running.process.poll() is not None or running.send(signal.SIGTERM), pause=0.0005)
        assert running.process.returncode == 0
        assert running.actions()[-2:] == ["closed", "stopped"]


def test_reflection_is_served_where_it_is_configured(tmp_path: pathlib.Path) -> None:
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with (
        process(tmp_path, GRPC_REFLECTION="true") as running,
        grpc.insecure_channel(f"127.0.0.1:{running.started()}") as channel,
    ):
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        (told,) = stub.ServerReflectionInfo(iter([ask]), timeout=10)

    assert NAME in [service.name for service in told.list_services_response.service]


@pytest.mark.parametrize(("drain", "action"), [("1000", "drain_cut"), ("-1", "drain_failed")])
def test_a_drain_that_hangs_or_fails_ends_within_the_grace_period(
    tmp_path: pathlib.Path, drain: str, action: str
) -> None:
    with process(tmp_path, DRAIN_SECONDS=drain, GRACE_SECONDS="1") as running:
        running.started()
        began = time.monotonic()
        running.send(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert time.monotonic() - began < 30  # not the drain's thousand
        assert action in running.actions()
        assert running.actions()[-2:] == ["closed", "stopped"]


def test_every_line_is_json_also_those_of_libraries(tmp_path: pathlib.Path) -> None:
    with process(tmp_path) as running:
        running.started()
        running.send(signal.SIGTERM)
        assert running.process.wait(60) == 0
        text = running.log.read_text().splitlines()
        assert len(running.lines()) == len(text), text
        (foreign,) = [line for line in running.lines() if line.get("logger") == "some.library"]
        assert foreign["message"] == "a warning of 7"
        assert foreign["level"] == "warning"
        assert foreign["process"] == "embedder"
        assert not [line for line in running.lines() if "payload" in line["message"]]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ENVIRONMENT": "production", "API_KEY": "k"}, "INTERNAL_TOKEN"),
        ({"ENVIRONMENT": "production", "INTERNAL_TOKEN": "t"}, "API_KEY"),
        (PRODUCTION | {"FAILPOINT": "indexer.after_settle:kill"}, "FAILPOINT"),
        (PRODUCTION | {"FAILPOINT": "@rules.not.there.yet"}, "FAILPOINT"),
        ({"GRPC_PORT": "many"}, "GRPC_PORT"),
    ],
)
def test_what_is_not_safe_or_not_sound_does_not_start(
    tmp_path: pathlib.Path, environment: dict[str, str], words: str
) -> None:
    with process(tmp_path, **{"API_KEY": "", "INTERNAL_TOKEN": "", **environment}) as running:
        assert running.process.wait(60) == 2
        (line,) = running.log.read_text().splitlines()
        assert line.startswith(f"Wrong configuration: {words}")

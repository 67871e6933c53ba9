"""A line of its own for the benchmarks, in a temporary folder; other servers may be named in the environment."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx

from benchmarks import metrics, processes

# What the table counts as ours; the stand-ins' CPU is not.
OURS = ("ingest", "embedder", "indexer", "valkey", "envoy")
TERMINAL = frozenset({"completed", "partially_completed", "failed", "cancelled"})
# A turn passes on when the last write of its holder must be over.
TURN_SECONDS = 40.0

# Pinecone takes 50 MB/s and 100 upserts/s of a namespace, about 7,000 rows/s of 1,536 values: what is measured is the
# line, not that.
UNLIMITED = {f"SANDBOX_PINECONE_{limit}_PER_SECOND": "0" for limit in ("UPSERTS", "BYTES", "QUERIES")}


class BenchmarkFailed(Exception):
    """The line did not do what is to be measured."""


class Line:
    """A running line."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._settings: dict[str, str] = {}
        self._endpoints: dict[str, str] = {}
        self.rest = httpx.Client()

    def up(self, **settings: str) -> None:
        """Start it, or change it to these settings."""
        self._settings = settings
        self._sandbox("up")
        lines = (self.folder / "endpoints.env").read_text().splitlines()
        self._endpoints = {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
        self.rest.close()
        self.rest = httpx.Client(
            base_url=self._endpoints["GATEWAY_URL"], headers={"X-API-Key": self._endpoints["API_KEY"]}, timeout=300.0
        )

    def down(self) -> None:
        """Stop it."""
        self.rest.close()
        self._sandbox("down")

    def _sandbox(self, command: str) -> None:
        environment = {**os.environ, "SANDBOX_OPENAI_COUNT_TOKENS": "estimate", **UNLIMITED, **self._settings}
        environment["RUN_DIR"] = str(self.folder)
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkFailed(f"sandbox {command}:\n{done.stdout}\n{done.stderr}")

    def upload(self, path: pathlib.Path, **options: Any) -> str:
        """Upload a file; answers its task."""
        with path.open("rb") as file:
            answer = self.rest.post(
                f"/api/v1/upload/{path.name}",
                params={"question_id": 1, **options},
                content=iter(lambda: file.read(1 << 20), b""),
            )
        if answer.status_code != 202:
            raise BenchmarkFailed(answer.text)
        return str(answer.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """The task now."""
        found: dict[str, Any] = self.rest.get(f"/api/v1/status/{task_id}").json()
        return found

    def over(self, task_id: str) -> dict[str, Any]:
        """The task once it is over, however it ended."""
        while (found := self.task(task_id))["status"] not in TERMINAL:
            time.sleep(0.05)
        return found

    def finished(self, task_id: str, rows: int) -> dict[str, Any]:
        """The task once it is over; it must have indexed every row."""
        found = self.over(task_id)
        if found["status"] != "completed" or found["progress"]["processed_records"] != rows:
            raise BenchmarkFailed(f"The task did not index its {rows} rows: {found}")
        return found

    def warm_up(self, path: pathlib.Path) -> None:
        """A small load first: connections, shards and the limiter's starting debt are not what is measured."""
        self.finished(self.upload(path, namespace="warm", mode="force"), 1_000)

    # ---- processes

    def pids(self) -> dict[str, int]:
        """Our processes by name, e.g. embedder-1."""
        found = {path.stem: int(path.read_text()) for path in self.folder.glob("*.pid")}
        return {name: pid for name, pid in found.items() if name.partition("-")[0] in OURS}

    def usage(self) -> dict[str, processes.Usage]:
        """What our processes used so far."""
        return {name: processes.usage(pid) for name, pid in self.pids().items()}

    def metrics(self, *services: str) -> dict[str, dict[tuple[str, str], float]]:
        """The metrics of our Python processes, or of these services', by process; not of one that is down just now."""
        found = {}
        ports: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        for name in self.pids():
            if f"{name}-metrics" in ports and (not services or name.partition("-")[0] in services):
                with contextlib.suppress(httpx.HTTPError):
                    found[name] = metrics.read(ports[f"{name}-metrics"])
        return found

    def counted(self, service: str, name: str, label: str = "") -> float:
        """A counter of all processes of a service together."""
        return sum(samples.get((name, label), 0.0) for samples in self.metrics(service).values())

    # ---- the stand-in for OpenAI

    def purchases(self) -> dict[str, Any] | None:
        """What the stand-in saw; None when another server is used."""
        if "OPENAI_BASE_URL" not in self._endpoints:
            return None
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(self._journal(), params={"limit": 100_000}, timeout=30)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
        return None

    def forget(self) -> None:
        """Let it begin its journal anew."""
        with contextlib.suppress(httpx.HTTPError):
            httpx.delete(self._journal())

    # ---- the stand-in for Pinecone

    def index(self) -> tuple[str, dict[str, str]]:
        """Where the index's data plane is, and the headers of a call."""
        headers = {"Api-Key": self._endpoints.get("PINECONE_API_KEY", "sandbox")}
        name = self._endpoints["PINECONE_INDEX_NAME"]
        host = httpx.get(f"{self._controller}/indexes/{name}", headers=headers).json()["host"]
        return (host if "://" in host else f"http://{host}"), headers

    def units(self, namespace: str) -> tuple[float, float]:
        """Write and read units that it billed for a namespace."""
        answer = httpx.get(f"{self._controller}/_sandbox/requests", params={"limit": 100_000}, timeout=60)
        calls = [call for call in answer.json()["requests"] if call["namespace"] == namespace]
        return sum(call["write_units"] for call in calls), sum(call["read_units"] for call in calls)

    def upserts(self, namespace: str) -> int:
        """How often a namespace was written to."""
        params: dict[str, str | int] = {"op": "upsert", "limit": 100_000}
        answer = httpx.get(f"{self._controller}/_sandbox/requests", params=params, timeout=60)
        return sum(call["namespace"] == namespace for call in answer.json()["requests"])

    @property
    def _controller(self) -> str:
        """Where the stand-in is told and asked things.

        Raises:
            BenchmarkFailed: Another server is used.
        """
        if "PINECONE_CONTROLLER_HOST" not in self._endpoints:
            raise BenchmarkFailed("PINECONE_API_KEY is set, so this line writes to Pinecone: unset it.")
        return self._endpoints["PINECONE_CONTROLLER_HOST"]

    @property
    def openai(self) -> str:
        """Where the stand-in is told and asked things.

        Raises:
            BenchmarkFailed: Another server is used.
        """
        if "OPENAI_BASE_URL" not in self._endpoints:
            raise BenchmarkFailed("OPENAI_API_KEY is set, so this line buys of OpenAI: unset it to use the stand-in.")
        return self._endpoints["OPENAI_BASE_URL"].removesuffix("/v1")

    def _journal(self) -> str:
        return f"{self.openai}/_sandbox/requests"


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Line]:
    """A line in a temporary folder, stopped and dropped at the end."""
    with tempfile.TemporaryDirectory(prefix="vectorline-bench-") as folder:
        line = Line(pathlib.Path(folder))
        try:
            line.up(**settings)
            yield line
        finally:
            line.down()

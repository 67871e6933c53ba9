"""The whole line for a test: the real services, Valkey and Envoy, and the stand-ins, in a folder of its own."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import boto3
import httpx

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TERMINAL = frozenset({"completed", "partially_completed", "failed", "cancelled"})
# What a developer's shell may have set and a test's line must not inherit.
FOREIGN = ("REDIS_", "AWS_", "OPENAI_", "PINECONE_", "METABASE_", "SANDBOX_", "API_", "INTERNAL_", "S3_", "DYNAMODB_")

Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = 60.0) -> Found:
    """Look again and again until there is something, or fail and say what was missing."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)  # between two looks at a condition, bounded by the deadline


class Line:
    """A running line."""

    root = ROOT  # of its sources

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.endpoints: dict[str, str] = {}
        self.rest = httpx.Client()

    def up(self, **settings: str) -> None:
        """Start it, or change it."""
        self.settings.update(settings)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self._sandbox("up", {**inherited, **self.settings})
        self.attach()

    def attach(self) -> None:
        """Read where the line in this folder is."""
        lines = (self.folder / "endpoints.env").read_text().splitlines()
        self.endpoints = {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
        self.rest.close()
        self.rest = httpx.Client(
            base_url=self.endpoints["GATEWAY_URL"], headers={"X-API-Key": self.endpoints["API_KEY"]}, timeout=60.0
        )

    def down(self) -> None:
        """Stop it."""
        self.rest.close()
        self._sandbox("down", dict(os.environ))

    def _sandbox(self, command: str, environment: Mapping[str, str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", command],
            cwd=self.root,
            env={**environment, "RUN_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"sandbox {command} failed:\n{done.stdout}\n{done.stderr}")

    # ---- the API

    def upload(self, content: bytes, name: str = "items.csv", **options: Any) -> str:
        """Upload a file; answers its task."""
        answer = self.rest.post(f"/api/v1/upload/{name}", params={"question_id": 232, **options}, content=content)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def process(self, **request: Any) -> str:
        """Process a source; answers its task."""
        answer = self.rest.post("/api/v1/process", json={"question_id": 232, **request})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """The task now."""
        answer = self.rest.get(f"/api/v1/status/{task_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def finished(self, task_id: str, seconds: float = 120.0) -> dict[str, Any]:
        """The task once it is terminal, with its counts checked against each other."""

        def look() -> dict[str, Any] | None:
            found = self.task(task_id)
            return found if found["status"] in TERMINAL else None

        found = wait_for(f"the end of task {task_id}", look, seconds)
        progress = found["progress"]
        told = ("processed_records", "skipped_records", "failed_records", "unread_records")
        assert progress["total_records"] == sum(progress[name] for name in told), progress
        return found

    def rejects(self, task_id: str) -> list[dict[str, Any]]:
        """The rejected rows, as JSON lines give them."""
        answer = self.rest.get(f"/api/v1/status/{task_id}/rejects", params={"format": "jsonl"})
        assert answer.status_code == 200, answer.text
        return [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]

    # ---- what lies behind it

    def s3(self) -> Any:
        """An S3 client on the line's stand-in."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoints["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def put(self, key: str, content: bytes) -> None:
        """Store an object in the line's bucket."""
        self.s3().put_object(Bucket=self.endpoints["S3_BUCKET_NAME"], Key=key, Body=content)

    def index(self, namespace: str) -> dict[str, dict[str, Any]]:
        """What Pinecone holds in a namespace: id to sha256 of its values, and metadata."""
        url = f"{self.endpoints['PINECONE_CONTROLLER_HOST']}/_sandbox/dump"
        answer = httpx.get(
            url, params={"index": self.endpoints["PINECONE_INDEX_NAME"], "namespace": namespace}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        found = (httpx.Response(200, content=line).json() for line in answer.text.splitlines())
        return {each["id"]: each for each in found}

    def purchases(self, *, limit: int = 0) -> dict[str, Any]:
        """What the OpenAI stand-in saw since the last `forget`."""
        found: dict[str, Any] = httpx.get(f"{self._openai()}/_sandbox/requests", params={"limit": limit}).json()
        return found

    def forget(self) -> None:
        """Let the OpenAI stand-in begin its journal anew."""
        httpx.delete(f"{self._openai()}/_sandbox/requests").raise_for_status()

    def _openai(self) -> str:
        return self.endpoints["OPENAI_BASE_URL"].removesuffix("/v1")

    # ---- processes

    def pid(self, process: str) -> int:
        """The process id of e.g. embedder-1."""
        return int((self.folder / f"{process}.pid").read_text())

    def kill(self, process: str, number: int = signal.SIGKILL) -> int:
        """Send a signal; answers the pid that it went to."""
        pid = self.pid(process)
        os.kill(pid, number)
        return pid

    def resident_bytes(self, process: str) -> int:
        """Resident memory of a process now."""
        status = pathlib.Path(f"/proc/{self.pid(process)}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


@contextlib.contextmanager
def running(folder: pathlib.Path, **settings: str) -> Iterator[Line]:
    """A line in `folder`, stopped at the end whatever happens.

    `STANDING_LINE` names the folder of one that runs already, is used instead, and goes on: `make deploy-check` runs
    the contract against a line that it made.
    """
    if standing := os.environ.get("STANDING_LINE"):
        line = Line(pathlib.Path(standing), settings)
        line.attach()
        yield line
        line.rest.close()
        return
    line = Line(folder, settings)
    try:
        line.up()
        yield line
    finally:
        line.down()

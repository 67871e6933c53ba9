"""``make trace-demo``: a line of its own with tracing on, one load, and where one chunk of it spent its time."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from sandbox.traces import sink, tree

ROWS = 3_000
TASK_SECONDS = 120.0
# A process sends what it has at least this often; the demo does not wait for OpenTelemetry's five seconds.
SEND_MS = 500

Found = TypeVar("Found")


def main() -> int:
    """Start, load, print, stop."""
    with tempfile.TemporaryDirectory(prefix="vectorline-traces-") as folder, sink.Sink() as collector:
        environment = {
            **os.environ,
            "RUN_DIR": folder,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": str(SEND_MS),
            "OPENAI_RATE_LIMIT": "0",
        }
        try:
            if code := _line("up", environment):
                return code
            _load(folder)
            root = _wait("the chunk's last span", lambda: _complete(collector.spans))
            _say("\nOne of its chunks, from the request to the ack (⇢: across the queue):\n\n")
            for line in tree.lines(tree.only_chunk(root, 0)):
                _say(f"{line}\n")
        finally:
            _line("down", environment)
    return 0


def _line(command: str, environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "sandbox", command], env=environment, check=False).returncode


def _load(folder: str) -> None:
    with open(f"{folder}/endpoints.env", encoding="utf-8") as file:
        told = dict(line.strip().partition("=")[::2] for line in file)
    rows = "".join(f"{number},A chair of oak number {number},{number % 7}\n" for number in range(ROWS))
    headers = {"X-API-Key": told["API_KEY"].strip("'")}
    with httpx.Client(base_url=told["GATEWAY_URL"], headers=headers, timeout=60.0) as rest:
        answer = rest.post(
            "/api/v1/upload/chairs.csv",
            params={"question_id": 1, "namespace": "traces"},
            content=f"id,formatted_text,size\n{rows}".encode(),
        )
        answer.raise_for_status()
        task_id = answer.json()["task_id"]
        ended = _wait("the end of the task", lambda: _ended(rest, task_id))
    _say(f"Task {task_id} of {ROWS:,} rows: {ended}.\n")


def _ended(rest: httpx.Client, task_id: str) -> str | None:
    task = rest.get(f"/api/v1/status/{task_id}").raise_for_status().json()
    return str(task["status"]) if task.get("completed_at") else None


def _complete(spans: list[sink.Span]) -> tree.Node | None:
    """The request's tree, once everything of its first chunk has come in."""
    for span in tree.roots(spans):
        found = tree.of(spans, span)
        if any(node.span.attributes.get("chunk") == 0 and node.named("ack") for node in found.named("chunk")):
            return found
    return None


def _wait(what: str, look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + TASK_SECONDS
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {TASK_SECONDS:.0f} s; the logs tell more.")
        time.sleep(0.1)
    return found


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

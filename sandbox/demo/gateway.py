"""The line's REST interface, as any caller would use it."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Self

import httpx

from sandbox.demo import problems

POLL_SECONDS: Final = 0.25
STALL_SECONDS: Final = 120.0  # without any change: longer than a task may wait for the turn of the one before it
OUTAGE_SECONDS: Final = 30.0  # a service that restarts is back within this
SEARCH_SECONDS: Final = 20.0  # until what was just written is found: Pinecone promises "eventually"

TERMINAL: Final = frozenset({"completed", "partially_completed", "failed", "cancelled"})

Document = dict[str, Any]


def endpoints(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that `make up` wrote; those of the environment win.

    Raises:
        problems.ProblemError: The line's address is not known.
    """
    file = run_folder(environ) / "endpoints.env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    written = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    found = {name: environ.get(name) or written.get(name, "") for name in ("GATEWAY_URL", "API_KEY")}
    if not found["GATEWAY_URL"]:
        raise problems.ProblemError(f"The line is not up: there is no {file}.", hint="Start it with `make up`.")
    return found


def run_folder(environ: Mapping[str, str] = os.environ) -> pathlib.Path:
    """Where the running line keeps its addresses and logs."""
    return pathlib.Path(environ.get("RUN_DIR") or ".run")


class Gateway:
    """A client of the gateway. Every failure is a `problems.ProblemError`."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._clock = clock
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=self.url,
            headers={"X-API-Key": api_key},
            timeout=httpx.Timeout(30, write=300),  # a line that is busy may hold an upload back
            trust_env=False,  # a proxy of the environment is not for an address on this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def health(self) -> Document:
        """The health of the line, once it is healthy.

        Raises:
            problems.ProblemError: It does not become so.
        """
        started = self._clock()
        while True:
            try:
                document: Document = self._json("GET", "/api/v1/health")
                if document.get("status") == "healthy":
                    return document
                problem = problems.ProblemError(f"The line is {document.get('status')}: {document.get('services')}.")
            except problems.ProblemError as error:
                problem = error
            if self._clock() - started > OUTAGE_SECONDS:
                raise problem
            self._sleep(POLL_SECONDS)

    def upload(self, filename: str, body: Iterable[bytes], options: Mapping[str, str]) -> str:
        """Stream a CSV, never held whole, and return the id of the task over it."""
        answer = self._json("POST", f"/api/v1/upload/{filename}", params=dict(options), content=body, expect=202)
        return str(answer["task_id"])

    def follow(self, task_id: str) -> Iterator[Document]:
        """Yield the task again and again until it is terminal.

        Raises:
            problems.ProblemError: It is blocked, does not move, or the line is gone.
        """
        changed = answered = self._clock()
        last: object = None
        while True:
            try:
                task = self._json("GET", f"/api/v1/status/{task_id}")
            except problems.ProblemError:
                if self._clock() - answered > OUTAGE_SECONDS:
                    raise
                self._sleep(POLL_SECONDS)
                continue
            answered = self._clock()
            yield task
            if task["status"] in TERMINAL:
                return
            if task["status"] == "blocked":
                raise problems.ProblemError(f"The task is blocked: {task.get('error', 'no reason is given')}")
            if (now := (task["status"], task["progress"])) != last:
                last, changed = now, answered
            elif answered - changed > STALL_SECONDS:
                counts = ", ".join(f"{name} {count}" for name, count in task["progress"].items())
                raise problems.ProblemError(
                    f"The task has not moved for {STALL_SECONDS:.0f} s; it is {task['status']}: {counts}."
                )
            self._sleep(POLL_SECONDS)

    def rejects(self, task_id: str) -> list[dict[str, str]]:
        """The rows that failed or were skipped, with their reasons."""
        answer = self._request("GET", f"/api/v1/status/{task_id}/rejects", params={"include": "skipped"})
        return list(csv.DictReader(io.StringIO(answer.text)))

    def search(self, question: Document, *, at_least: int) -> list[Document]:
        """The matches, asked for again until there are `at_least` so many or time is up."""
        started = self._clock()
        while True:
            matches: list[Document] = self._json("POST", "/api/v1/search", json=question).get("matches", [])
            if len(matches) >= at_least or self._clock() - started > SEARCH_SECONDS:
                return matches
            self._sleep(POLL_SECONDS)

    def _json(self, method: str, path: str, **more: Any) -> Document:
        answer = self._request(method, path, **more)
        try:
            document: Document = answer.json()
        except ValueError as error:
            raise problems.ProblemError(f"{method} {path} answered no JSON: {answer.text[:200]!r}") from error
        return document

    def _request(self, method: str, path: str, *, expect: int = 200, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise problems.ProblemError(
                f"The gateway at {self.url} does not answer: {error or type(error).__name__}.",
                hint="Is the line up? `make up` starts it.",
            ) from error
        if answer.status_code != expect:
            raise problems.ProblemError(f"{method} {path} answered {answer.status_code}: {_said(answer)}")
        return answer


def _said(answer: httpx.Response) -> str:
    """The message of a google.rpc.Status, or the body as it is."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]

"""What `make observe` says of its callers is what they met."""

import threading
from typing import Any

import httpx

from observe import show


class Line:
    """Takes uploads, and refuses searches as a line does whose OpenAI is away."""

    def __init__(self) -> None:
        self.searched = threading.Event()
        self.rest = httpx.Client(base_url="http://line", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.searched.set()
        return httpx.Response(503)

    def upload(self, file: Any, **options: Any) -> str:
        return "t-1"

    def task(self, task_id: str) -> dict[str, Any]:
        return {"status": "queued"}


def test_a_search_that_is_refused_is_counted() -> None:
    line: Any = Line()

    with show.Callers(line).calling() as callers:
        assert line.searched.wait(30)

    assert (callers.tasks[0], callers.refused >= 1) == ("t-1", True)

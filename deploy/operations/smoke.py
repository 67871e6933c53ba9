"""A small load from its first byte to its last vector, as a caller would send it, each vector looked at.

A vector is compared by the public API alone: a search for a row's own text is answered with a vector that is bought
anew, so the row must come first, and as near as can be.
"""

import time
import uuid
from typing import Any, Final

import httpx

NAMESPACE: Final = "smoke"
QUESTION_ID: Final = 1
ROWS: Final = 50
# Of the cosine of a vector with itself, bought twice: OpenAI's answers differ in the last places.
NEAR: Final = 0.995
TERMINAL: Final = frozenset({"completed", "partially_completed", "failed", "cancelled"})
POLL_SECONDS: Final = 0.5
SECONDS: Final = 300.0
_THINGS: Final = ("bicycle", "helmet", "lamp", "saddle", "tent", "kettle", "rope", "compass", "anchor", "ladder")
_SORTS: Final = ("red", "folding", "children's", "antique", "wooden", "electric", "giant", "silent", "Danish", "broken")


class Failed(Exception):
    """The line did not do what it promises; the message says what, and where to look."""


def load(caller: httpx.Client, *, rows: int = ROWS, seconds: float = SECONDS) -> str:
    """Load `rows` rows and look for each of them; answers what was seen, in a sentence.

    Args:
        caller: Knows the address and the key.
        rows: How many; their texts are new each time, so that they are bought.
        seconds: How long the task may take.

    Raises:
        Failed: A row is missing, or is not where its text is.
    """
    mark = uuid.uuid4().hex[:8]
    texts = {f"{number}": _text(number, mark) for number in range(rows)}
    body = "id,formatted_text\n" + "".join(f"{key},{text}\n" for key, text in texts.items())
    began = time.monotonic()
    task = _submit(caller, body, mark)
    found = _until_over(caller, task, seconds)
    done = found["progress"]["processed_records"]
    if found["status"] != "completed" or done != rows:
        raise Failed(
            f"task {task} is {found['status']} with {done} of {rows} rows ({found.get('error', 'no error')}); "
            f"look at /api/v1/status/{task} and its rejects"
        )
    loaded = time.monotonic() - began
    for key, text in texts.items():
        _look(caller, f"{QUESTION_ID}.{key}", text)
    return f"{rows} rows loaded in {loaded:.1f} s, each of their vectors found by its own text"


def _text(number: int, mark: str) -> str:
    tens, ones = divmod(number % 100, 10)
    return f"A {_SORTS[tens]} {_THINGS[ones]} of series {number // 100} with the mark {mark} number {number}"


def _submit(caller: httpx.Client, body: str, mark: str) -> str:
    options = {"question_id": str(QUESTION_ID), "namespace": NAMESPACE}
    # With a key of its own it may be sent again where an answer was lost.
    headers = {"Idempotency-Key": f"smoke-{mark}"}
    answer = _asked(caller, "POST", "/api/v1/upload/smoke.csv", params=options, content=body.encode(), headers=headers)
    if answer.status_code != 202:
        raise Failed(f"the upload was answered {answer.status_code}: {answer.text[:300]}")
    return str(answer.json()["task_id"])


def _until_over(caller: httpx.Client, task: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        answer = _asked(caller, "GET", f"/api/v1/status/{task}")
        if answer.status_code == 200 and answer.json()["status"] in TERMINAL:
            found: dict[str, Any] = answer.json()
            return found
        if time.monotonic() > deadline:
            raise Failed(f"task {task} is not over after {seconds:.0f} s: {answer.text[:300]}")
        time.sleep(POLL_SECONDS)


def _look(caller: httpx.Client, vector_id: str, text: str) -> None:
    asked = {"text": text, "namespace": NAMESPACE, "top_k": 1}
    answer = _asked(caller, "POST", "/api/v1/search", json=asked)
    if answer.status_code != 200:
        raise Failed(f"the search for {vector_id} was answered {answer.status_code}: {answer.text[:300]}")
    matches = answer.json()["matches"]
    if not matches or matches[0]["id"] != vector_id or matches[0]["score"] < NEAR:
        raise Failed(f"the text of {vector_id} finds {matches[:1]}; the vector that is stored is not that text's")


def _asked(caller: httpx.Client, method: str, path: str, **what: Any) -> httpx.Response:
    try:
        return caller.request(method, path, **what)
    except httpx.HTTPError as error:
        raise Failed(f"{path} cannot be reached at {caller.base_url}: {type(error).__name__} {error}") from error

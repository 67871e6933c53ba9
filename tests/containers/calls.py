"""Callers of the published port: loads whose every vector is compared, and callers that go on calling."""

import contextlib
import dataclasses
import itertools
import secrets
import threading
import time
from collections.abc import Iterator

import httpx

from tests.containers import project, stand_ins
from tests.support import csvs, oracle
from tests.support import line as lines

QUESTION = 14
CHUNK_ROWS = 200
PAUSE_SECONDS = 0.1
FINISH_SECONDS = 240.0


@dataclasses.dataclass
class Load:
    """An upload of so many rows."""

    task_id: str
    namespace: str
    rows: int


def client(where: project.Project, seconds: float = 30.0) -> httpx.Client:
    return httpx.Client(base_url=where.url, headers={"X-API-Key": where.told["API_KEY"]}, timeout=seconds)


def upload(where: project.Project, rows: int, *, chunk_rows: int = CHUNK_ROWS) -> Load:
    """Upload good rows into a namespace of their own."""
    namespace = f"load-{secrets.token_hex(4)}"
    told = {"question_id": QUESTION, "namespace": namespace, "chunk_size": chunk_rows, "request_id": namespace}
    with client(where, 120) as rest:
        answer = rest.post("/api/v1/upload/items.csv", params=told, content=csvs.of(csvs.rows(rows)))
    assert answer.status_code == 202, answer.text
    return Load(answer.json()["task_id"], namespace, rows)


def whole(where: project.Project, load: Load) -> None:
    """Wait for the end of a load, and compare counts, ids and every vector with what must be there."""
    with client(where) as rest:

        def over() -> dict[str, object] | None:
            with contextlib.suppress(httpx.TransportError):
                answer = rest.get(f"/api/v1/status/{load.task_id}")
                if answer.status_code == 200 and answer.json()["status"] in lines.TERMINAL:
                    found: dict[str, object] = answer.json()
                    return found
            return None

        task = lines.wait_for(f"the end of {load.namespace}", over, FINISH_SECONDS)
    assert task["status"] == "completed", task
    progress = task["progress"]
    assert isinstance(progress, dict)
    assert (progress["total_records"], progress["processed_records"]) == (load.rows, load.rows), progress
    texts = [csvs.text_of(number) for number in range(1, load.rows + 1)]
    ids = [f"{QUESTION}.i{number}" for number in range(1, load.rows + 1)]
    expected = dict(zip(ids, oracle.vector_hashes(texts), strict=True))
    oracle.index_holds(stand_ins.index(where, load.namespace), expected)


@dataclasses.dataclass
class Calls:
    """What a caller met that went on calling: status, lists, searches and small uploads in turns."""

    answered: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    failed_at: list[float] = dataclasses.field(default_factory=list)  # monotonic
    longest_gap_seconds: float = 0.0
    uploads: list[Load] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def going_on(where: project.Project, load: Load, *, seconds: float = 15.0) -> Iterator[Calls]:
    """Call the line all the time while the block runs; a call that takes longer than `seconds` has failed."""
    calls, stop = Calls(), threading.Event()

    def caller() -> None:
        last = time.monotonic()
        with client(where, seconds) as rest:
            for turn in itertools.count():
                if stop.wait(PAUSE_SECONDS):
                    return
                try:
                    problem = _call(rest, turn, load, calls)
                except httpx.TransportError as error:
                    problem = repr(error)
                if problem:
                    calls.failed.append(f"call {turn}: {problem}")
                    calls.failed_at.append(time.monotonic())
                    continue
                calls.answered += 1
                calls.longest_gap_seconds = max(calls.longest_gap_seconds, time.monotonic() - last)
                last = time.monotonic()

    thread = threading.Thread(target=caller, daemon=True)
    thread.start()
    try:
        yield calls
    finally:
        stop.set()
        thread.join(60)


def _call(rest: httpx.Client, turn: int, load: Load, calls: Calls) -> str:
    """One call; what was wrong with its answer."""
    if turn % 20 == 5:
        namespace = f"call-{load.namespace}-{turn}"
        told = {"question_id": QUESTION, "namespace": namespace, "request_id": namespace}
        answer = rest.post("/api/v1/upload/items.csv", params=told, content=csvs.of(csvs.rows(10)))
        if answer.status_code == 202:
            calls.uploads.append(Load(answer.json()["task_id"], namespace, 10))
            return ""
    elif turn % 5 == 1:
        wanted = {"text": csvs.text_of(turn), "top_k": 1, "namespace": load.namespace}
        answer = rest.post("/api/v1/search", json=wanted)
    elif turn % 5 == 2:
        answer = rest.get("/api/v1/tasks", params={"limit": 5})
    else:
        answer = rest.get(f"/api/v1/status/{load.task_id}")
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"

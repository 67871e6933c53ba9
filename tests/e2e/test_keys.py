"""Two callers on one line: each sees its own, and each is held to its limits."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.runtime import keys
from tests.support import csvs
from tests.support import line as lines
from tests.support.line import Line, wait_for

PEPPER = "pepper-pepper-pepper"


def entry(key_id: str, secret: str, **limits: int) -> dict[str, Any]:
    scopes = ["read", "ingest"]
    return {"id": key_id, "hash": keys.digest(secret, PEPPER).hex(), "scopes": scopes, "limits": limits}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A line that buys next to nothing, so that its tasks stay open; its keys are in a file."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys.json").write_text(
        json.dumps([entry("ann", "a"), entry("bob", "b", open_tasks=1), entry("cat", "c", rows_per_day=100)])
    )
    chosen = {"API_KEYS": str(folder / "keys.json"), "API_KEY_PEPPER": PEPPER, "OPENAI_RATE_LIMIT": "0.01"}
    with lines.running(folder / "line", **chosen) as running:
        yield running


def caller(line: Line, secret: str) -> httpx.Client:
    return httpx.Client(base_url=line.endpoints["GATEWAY_URL"], headers={"x-api-key": secret}, timeout=30)


def upload(rest: httpx.Client, rows: int, **options: Any) -> httpx.Response:
    asked = {"question_id": 7, **options}
    return rest.post("/api/v1/upload/items.csv", params=asked, content=csvs.of(csvs.rows(rows)))


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["details"][0]["reason"])


def test_anothers_task_is_a_404_to_every_method_and_an_admins_own(slow: Line) -> None:
    with caller(slow, "a") as ann, caller(slow, "b") as bob, caller(slow, slow.endpoints["API_KEY"]) as admin:
        task = upload(ann, 10, namespace="owned").json()["task_id"]
        paths = [("GET", f"status/{task}{rest}") for rest in ("", "/watch", "/rejects")]
        paths += [("POST", f"task/{task}/retry"), ("DELETE", f"task/{task}")]

        for method, path in paths:
            answer = bob.request(method, f"/api/v1/{path}")
            assert (answer.status_code, reason(answer)) == (404, "TASK_NOT_FOUND"), path
        assert bob.get("/api/v1/tasks").json() == []
        assert [each["task_id"] for each in ann.get("/api/v1/tasks").json()] == [task]
        assert task in [each["task_id"] for each in admin.get("/api/v1/tasks").json()]
        assert admin.get(f"/api/v1/status/{task}").json()["metadata"]["client"] == "ann"
        assert ann.delete(f"/api/v1/task/{task}").status_code == 204


def test_a_key_with_one_open_task_waits_for_its_end(slow: Line) -> None:
    with caller(slow, "b") as bob:
        first = upload(bob, 10, namespace="open")
        second = upload(bob, 11, namespace="open")
        processed = bob.post("/api/v1/process", json={"data_source": "s3_csv", "s3_key": "a.csv", "question_id": 7})

        assert first.status_code == 202
        for refused in (second, processed):
            assert (refused.status_code, reason(refused)) == (429, "OPEN_TASKS_QUOTA_EXCEEDED")
            assert refused.headers["retry-after"] == "15"
        bob.delete(f"/api/v1/task/{first.json()['task_id']}").raise_for_status()
        third = upload(bob, 10, namespace="open")
        assert third.status_code == 202
        bob.delete(f"/api/v1/task/{third.json()['task_id']}").raise_for_status()


def test_a_days_rows_are_kept_to_before_a_cent_is_spent(slow: Line) -> None:
    with caller(slow, "c") as cat:
        large = upload(cat, 101, namespace="rows").json()["task_id"]
        failed = wait_for("the scan", lambda: ended(cat, large))
        assert failed["error_reason"] == "ROWS_QUOTA_EXCEEDED"
        assert failed["progress"]["processed_records"] == 0

        whole = upload(cat, 100, namespace="rows").json()["task_id"]
        wait_for("the scan", lambda: cat.get(f"/api/v1/status/{whole}").json()["progress"]["total_records"])
        refused = upload(cat, 1, namespace="rows")
        assert (refused.status_code, reason(refused)) == (429, "ROWS_QUOTA_EXCEEDED")
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        cat.delete(f"/api/v1/task/{whole}").raise_for_status()


def ended(rest: httpx.Client, task_id: str) -> dict[str, Any] | None:
    task: dict[str, Any] = rest.get(f"/api/v1/status/{task_id}").json()
    return task if task["status"] == "failed" else None


def test_a_changed_file_of_keys_counts_without_a_restart(slow: Line) -> None:
    file = pathlib.Path(slow.folder.parent / "keys.json")
    with caller(slow, "a2") as later:
        assert later.get("/api/v1/tasks").status_code == 401

        file.write_text(json.dumps([*json.loads(file.read_text()), entry("ann", "a2")]))

        assert later.get("/api/v1/tasks").status_code == 200
        assert later.get("/api/v1/tasks").json()  # ann's

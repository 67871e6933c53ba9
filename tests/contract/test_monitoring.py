"""API §1: health, the operators' views with true numbers, the description of the API."""

import re
from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line, wait_for

VIEWS = (
    *("health/detailed", "workers", "queues", "limiter", "tasks", "statistics", "metrics", "anomalies"),
    *("progress/active", "dashboard"),
)


def view(line: Line, name: str, **params: Any) -> dict[str, Any]:
    answer = line.rest.get(f"/api/v1/monitoring/{name}", params=params)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
def stranger(line: Line) -> Any:
    """Somebody without a key."""
    with httpx.Client(base_url=line.endpoints["GATEWAY_URL"]) as client:
        yield client


def test_health_needs_no_key_and_tells_workers_and_services(stranger: httpx.Client) -> None:
    def whole() -> httpx.Response | None:
        """Once the ingest of a line that has just come up has announced itself."""
        answer = stranger.get("/api/v1/health")
        return None if '"unhealthy"' in answer.text else answer

    answer = wait_for("a healthy line", whole)
    told = answer.json()

    assert answer.status_code == 200
    assert '"healthy"' in answer.text
    assert set(told) == {"status", "version", "environment", "workers", "services", "timestamp"}
    assert set(told["workers"]) == {"active", "available", "queued_tasks"}
    assert set(told["services"].values()) == {"healthy"}


@pytest.mark.parametrize("path", ["/healthz", "/healthz/ingest", "/healthz/embedder", "/healthz/indexer"])
def test_what_load_balancers_ask_needs_no_key(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_answers(line: Line, name: str) -> None:
    assert view(line, name)


def test_detailed_health_has_all_that_it_is_judged_by(line: Line) -> None:
    # What a test before this one did to the account is over after a probe, and seen so a second later.
    told = wait_for("a line at rest", lambda: not (seen := view(line, "health/detailed"))["problems"] and seen)

    assert told["status"] == "healthy"
    assert {"workers", "queues", "limiter", "services", "timestamp"} <= set(told)


def test_workers_and_queues_agree_with_each_other_at_rest(line: Line, done: dict[str, Any]) -> None:
    def rest() -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Once the last chunk is acknowledged, which is after its task is over, and both views have seen it."""
        queues, workers = view(line, "queues"), view(line, "workers")
        return None if queues["pending"] or queues["waiting"] or workers["active"] else (queues, workers)

    queues, workers = wait_for("a line at rest", rest)

    assert [lane["name"] for lane in queues["queues"]] == ["first", "high", "normal", "low"]
    assert (queues["waiting"], queues["bytes"], queues["oldest_seconds"]) == (0, 0, 0)
    assert len(workers["workers"]) == 1
    assert (workers["active"], workers["available"]) == (0, 8)


def test_queues_and_workers_are_true_while_there_is_work(line: Line) -> None:
    task_id = line.upload(csvs.of(csvs.rows(40_000)), namespace="monitored", chunk_size=200)
    queues = wait_for("work in the queue", lambda: (told := view(line, "queues"))["pending"] and told)

    assert queues["waiting"] == sum(lane["waiting"] for lane in queues["queues"])
    assert queues["pending"] == sum(lane["pending"] for lane in queues["queues"])
    assert queues["bytes"] == sum(lane["bytes"] for lane in queues["queues"]) > 0
    active = view(line, "progress/active")
    assert (active["total"], [each["task_id"] for each in active["tasks"]]) == (1, [task_id])
    assert view(line, "dashboard")["open_by_status"]["processing_chunks"] == 1
    stopped = line.rest.post(f"/api/v1/monitoring/tasks/{task_id}/cancel")
    assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")
    assert line.rest.post(f"/api/v1/monitoring/tasks/{task_id}/cancel").status_code == 409
    line.finished(task_id)


def test_statistics_add_up_to_the_tasks(line: Line, done: dict[str, Any], flawed: dict[str, Any]) -> None:
    wait_for("no open task", lambda: view(line, "progress/active")["total"] == 0)

    def at_rest() -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Both read in one state: what was in flight at a cancel settles a little after it."""
        before = view(line, "statistics", hours=1)
        listed = line.rest.get("/api/v1/tasks", params={"limit": 1000}).json()
        after = view(line, "statistics", hours=1)
        counts = ("rows_indexed", "rows_failed", "rows_skipped")
        return (after, listed) if all(before[name] == after[name] for name in counts) else None

    told, tasks = wait_for("a line at rest", at_rest)
    assert told["tasks"] == sum(told["by_status"].values()) == len(tasks)
    assert told["rows_indexed"] == sum(each["progress"]["processed_records"] for each in tasks)
    assert told["rows_failed"] == sum(each["progress"]["failed_records"] for each in tasks)
    assert told["rows_skipped"] == sum(each["progress"]["skipped_records"] for each in tasks)
    for name in ("tasks", "rows_indexed", "rows_skipped", "rows_failed"):
        assert told[name] == sum(bucket[name] for bucket in told["buckets"])
    assert told["failure_rate"] == pytest.approx(told["rows_failed"] / (told["rows_failed"] + told["rows_indexed"]))
    assert told["rows_per_second"] > 0


def test_a_month_is_told_by_days(line: Line) -> None:
    starts = [bucket["start"] for bucket in view(line, "statistics", hours=744)["buckets"]]

    assert len(starts) == 32
    assert all(start.endswith("T00:00:00Z") for start in starts)


def test_a_failure_rate_over_15_percent_is_an_anomaly(line: Line, done: dict[str, Any], flawed: dict[str, Any]) -> None:
    anomalies = [each for each in view(line, "anomalies")["anomalies"] if each.get("task_id")]
    mine = [each for each in anomalies if each["task_id"] == flawed["task_id"]]

    assert [(each["kind"], each["severity"], each["threshold"]) for each in mine] == [("failure_rate", "warning", 0.15)]
    assert mine[0]["value"] == pytest.approx(3 / 5)
    assert done["task_id"] not in {each["task_id"] for each in anomalies}


def test_a_task_is_the_same_by_both_paths(line: Line, done: dict[str, Any]) -> None:
    assert view(line, f"tasks/{done['task_id']}") == line.task(done["task_id"])
    pace = view(line, f"tasks/{done['task_id']}/progress")
    assert (pace["status"], pace["progress"]) == ("completed", done["progress"])
    assert pace["rows_per_second"] > 0


def test_tasks_are_counted_by_status_and_listed_newest_first(line: Line, done: dict[str, Any]) -> None:
    told = view(line, "tasks", limit=5)
    created = [each["metadata"]["created_at"] for each in told["tasks"]]

    assert len(told["by_status"]) == 9
    assert told["by_status"]["completed"] >= 1
    assert len(created) <= 5
    assert created == sorted(created, reverse=True)


def test_cleanup_says_what_it_did(line: Line) -> None:
    answer = line.rest.post("/api/v1/monitoring/cleanup")

    assert answer.status_code == 200
    assert answer.json()["healed_task_ids"] == []


def test_the_description_needs_no_key_and_names_every_path_of_the_contract(stranger: httpx.Client) -> None:
    answer = stranger.get("/api/v1/openapi.json")
    paths = answer.json()["paths"]

    assert answer.headers["content-type"] == "application/json"
    assert {f"/api/v1/monitoring/{name}" for name in VIEWS} <= set(paths)
    assert "delete" in paths["/api/v1/task/{task_id}"]


def test_the_docs_page_shows_it_without_another_host(stranger: httpx.Client) -> None:
    answer = stranger.get("/api/v1/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"https?://", answer.text)
    assert "./openapi.json" in answer.text

"""API §1: what a task looks like, lists, watching, cancelling, retrying, rejects."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PROGRESS = {
    *("total_records", "processed_records", "failed_records", "skipped_records", "chunks_total", "chunks_completed"),
    *("chunks_processing", "chunks_failed", "current_chunk", "percentage"),
}


@pytest.fixture
def slow(line: Line) -> Iterator[str]:
    """A task that goes on for a while, cancelled at the end."""
    task_id = line.upload(csvs.of(csvs.rows(60_000)), namespace=f"slow-{time.monotonic_ns()}", chunk_size=100)
    yield task_id
    line.rest.delete(f"/api/v1/task/{task_id}")
    line.finished(task_id)


def test_process_answers_202_with_what_was_stored(line: Line) -> None:
    line.put("contract/a.csv", csvs.of(csvs.rows(3)))
    body = {"data_source": "s3_csv", "s3_key": "contract/a.csv", "question_id": 7, "namespace": "contract-202"}
    answer = line.rest.post("/api/v1/process", json=body)
    stored = answer.json()

    assert answer.status_code == 202
    assert {"task_id", "status", "message", "created_at"} <= set(stored)
    assert stored["status"] == "pending"
    assert RFC3339.fullmatch(stored["created_at"])
    assert line.finished(stored["task_id"])["metadata"]["task_type"] == "s3_csv"


def test_request_id_in_the_body_is_an_idempotency_key_too(line: Line) -> None:
    body = {"data_source": "s3_csv", "s3_key": "contract/none.csv", "question_id": 7, "request_id": "contract-once"}

    assert len({line.rest.post("/api/v1/process", json=body).json()["task_id"] for _ in range(2)}) == 1


def test_a_finished_task_has_every_count_as_a_number_zeros_too(done: dict[str, Any]) -> None:
    assert set(done["progress"]) >= PROGRESS
    assert all(isinstance(done["progress"][name], int | float) for name in PROGRESS)
    assert (done["progress"]["failed_records"], done["progress"]["chunks_failed"]) == (0, 0)
    assert done["progress"]["percentage"] == 100


def test_its_times_are_rfc_3339_in_utc(done: dict[str, Any]) -> None:
    for moment in (done["started_at"], done["completed_at"], done["metadata"]["created_at"]):
        assert RFC3339.fullmatch(moment), moment


def test_what_is_not_set_is_absent_and_never_null(line: Line, done: dict[str, Any]) -> None:
    assert not {"error", "error_reason", "stalled_since"} & set(done)
    assert "null" not in line.rest.get(f"/api/v1/status/{done['task_id']}").text


def test_parameters_hold_the_request_with_its_defaults(done: dict[str, Any]) -> None:
    told = done["metadata"]["parameters"]

    assert {name: told[name] for name in ("chunk_size", "priority", "mode", "sanitizer", "metadata")} == {
        "chunk_size": 1000,
        "priority": "normal",
        "mode": "upsert",
        "sanitizer": "clean",
        "metadata": "typed",
    }
    assert done["metadata"]["namespace"] == "contract-done"
    assert (done["metadata"]["encoding"], done["metadata"]["delimiter"]) == ("utf-8", ",")


def test_lists_are_arrays_newest_first_with_offset_limit_and_filters(line: Line) -> None:
    made = [
        line.finished(line.upload(csvs.of(csvs.rows(2)), namespace=f"contract-list-{n}"))["task_id"] for n in range(3)
    ]

    def ids(**params: Any) -> list[str]:
        answer = line.rest.get("/api/v1/tasks", params=params)
        assert answer.status_code == 200
        return [each["task_id"] for each in answer.json()]

    assert ids(limit=3) == made[::-1]
    assert ids(limit=1, offset=1) == [made[1]]
    assert set(made) <= set(ids(status_filter="completed", task_type="upload"))
    assert not set(made) & set(ids(status_filter="failed"))
    assert not set(made) & set(ids(task_type="local_csv"))


def test_page_tokens_go_through_all_tasks_once(line: Line, done: dict[str, Any], flawed: dict[str, Any]) -> None:
    seen: list[str] = []
    token = ""
    while True:
        answer = line.rest.get("/api/v1/tasks", params={"limit": 2, "page_token": token})
        seen += [each["task_id"] for each in answer.json()]
        token = answer.headers.get("x-next-page-token", "")
        if not token:
            break

    assert len(seen) == len(set(seen))
    assert {done["task_id"], flawed["task_id"]} <= set(seen)


def test_a_watch_is_events_until_the_end(line: Line) -> None:
    task_id = line.upload(csvs.of(csvs.rows(3_000)), namespace="contract-watch")
    with line.rest.stream("GET", f"/api/v1/status/{task_id}/watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = [json.loads(text.removeprefix("data: ")) for text in answer.iter_lines() if text]

    assert events[-1]["status"] == "completed"
    assert [event["status"] for event in events[:-1]].count("completed") == 0
    counts = [event["progress"]["processed_records"] for event in events]
    assert counts == sorted(counts)


def test_all_tasks_are_told_as_they_change(line: Line, done: dict[str, Any]) -> None:
    """The stream never ends: what comes first is all that a filter finds, and a new task comes without being asked."""
    namespace = "contract-tasks-watch"
    with line.rest.stream("GET", "/api/v1/tasks:watch", params={"namespace": namespace}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = (json.loads(text.removeprefix("data: ")) for text in answer.iter_lines() if text)
        first = next(events)
        task_id = line.upload(csvs.of(csvs.rows(20)), namespace=namespace)
        told = next(event for event in events if event["tasks"] and event["tasks"][0]["status"] == "completed")

    assert first["tasks"] == []
    assert [task["task_id"] for task in told["tasks"]] == [task_id]


def test_a_cancel_is_a_204_and_another_a_409(line: Line, slow: str) -> None:
    first = line.rest.delete(f"/api/v1/task/{slow}")
    again = line.rest.delete(f"/api/v1/task/{slow}")

    assert (first.status_code, first.content) == (204, b"")
    assert again.status_code == 409
    assert again.json()["details"][0]["reason"] == "TASK_FINISHED"
    assert line.finished(slow)["status"] == "cancelled"


def test_a_finished_task_cannot_be_cancelled(line: Line, done: dict[str, Any]) -> None:
    assert line.rest.delete(f"/api/v1/task/{done['task_id']}").status_code == 409
    assert line.task(done["task_id"])["status"] == "completed"


def test_an_open_task_cannot_be_retried(line: Line, slow: str) -> None:
    assert line.rest.post(f"/api/v1/task/{slow}/retry").status_code == 409


def test_a_task_without_rejects_has_nothing_to_retry(line: Line, done: dict[str, Any]) -> None:
    answer = line.rest.post(f"/api/v1/task/{done['task_id']}/retry", params={"all": "true"})

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (409, "NOTHING_TO_RETRY")


def rejects(line: Line, task: dict[str, Any], **params: str) -> httpx.Response:
    answer = line.rest.get(f"/api/v1/status/{task['task_id']}/rejects", params=params)
    assert answer.status_code == 200
    return answer


def test_rejects_are_the_original_columns_with_number_reason_and_message(line: Line, flawed: dict[str, Any]) -> None:
    answer = rejects(line, flawed)
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))

    assert answer.headers["content-type"].startswith("text/csv")
    assert set(rows[0]) == {*csvs.HEADER, "row_number", "line_number", "reason", "message", "line_text"}
    assert [row["row_number"] for row in rows] == ["2", "3", "6"]
    assert all(row["reason"] and row["message"] for row in rows)


def test_cells_that_a_spreadsheet_would_run_are_escaped_in_csv_only(line: Line, flawed: dict[str, Any]) -> None:
    by_csv = list(csv.DictReader(io.StringIO(rejects(line, flawed).text, newline="")))
    by_json = [json.loads(text) for text in rejects(line, flawed, format="jsonl").text.splitlines()]

    assert by_csv[1]["price"] == "+2"  # a number runs nothing, and comes back as it is when the file is loaded again
    for cell in (by_csv[0]["formatted_text"], by_csv[1]["zip"], by_csv[2]["formatted_text"]):
        assert cell[0] not in "=+-@", cell
        assert cell[1] in "=+-@", cell
    assert [row["formatted_text"] for row in by_json] == ["=1+1", "", '-5, and a "quote"']
    assert (by_json[1]["price"], by_json[1]["zip"]) == ("+2", "@x")


def test_skipped_rows_come_when_they_are_asked_for(line: Line, flawed: dict[str, Any]) -> None:
    rows = [json.loads(text) for text in rejects(line, flawed, format="jsonl", include="skipped").text.splitlines()]

    assert {row["row_number"]: row["reason"] for row in rows}[5] == "duplicate_id"
    assert len(rows) == 4


def test_a_task_without_rejects_answers_the_header_alone(line: Line, done: dict[str, Any]) -> None:
    assert len(rejects(line, done).text.splitlines()) == 1
    assert rejects(line, done, format="jsonl").text == ""


def test_a_gzipped_upload_is_read_by_name_and_by_content_encoding(line: Line) -> None:
    import gzip  # noqa: PLC0415

    packed = gzip.compress(csvs.of(csvs.rows(5)))
    by_name = line.upload(packed, name="a.csv.gz", namespace="contract-gz-a")
    answer = line.rest.post(
        "/api/v1/upload/a.csv",
        params={"question_id": 1, "namespace": "contract-gz-b"},
        content=packed,
        headers={"content-encoding": "gzip"},
    )

    assert line.finished(by_name)["progress"]["processed_records"] == 5
    assert answer.status_code == 202
    assert line.finished(answer.json()["task_id"])["progress"]["processed_records"] == 5


def test_search_answers_matches_best_first(line: Line, done: dict[str, Any]) -> None:
    body = {"text": csvs.text_of(4), "namespace": "contract-done", "top_k": 3}
    answer = line.rest.post("/api/v1/search", json=body)
    matches = answer.json()["matches"]

    assert answer.status_code == 200
    assert matches[0]["id"] == "232.i4"
    assert set(matches[0]) == {"id", "score", "metadata"}
    assert [each["score"] for each in matches] == sorted((each["score"] for each in matches), reverse=True)
    assert matches[0]["metadata"]["row_id"] == "i4"


def test_search_in_an_empty_namespace_answers_no_matches(line: Line) -> None:
    answer = line.rest.post("/api/v1/search", json={"text": "x", "namespace": "contract-empty"})

    assert answer.json() == {"matches": []}

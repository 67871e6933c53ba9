"""Every public method by REST."""

import json
from typing import Any

import httpx
import pytest


def error(answer: httpx.Response, status: int, code: int, reason: str) -> dict[str, Any]:
    """The one form of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == code
    assert body["message"]
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == (reason, "vectorline")
    return body


def test_process_answers_202_with_the_servicers_json(rest: httpx.Client, seen: Any) -> None:
    answer = rest.post("/api/v1/process", json={"data_source": "s3_csv", "s3_key": "a.csv", "question_id": 232})

    assert answer.status_code == 202
    assert answer.json() == {"task_id": "t-1", "status": "pending", "message": "Stored."}
    assert (seen.request.data_source, seen.request.s3_key, seen.request.question_id) == ("s3_csv", "a.csv", 232)


@pytest.mark.parametrize(("dry_run", "status"), [(True, 200), (False, 202)])
def test_tasks_are_retried_by_a_filter_and_counted_first(
    rest: httpx.Client, seen: Any, dry_run: bool, status: int
) -> None:
    asked = {"status": "failed", "reason": "index_refused", "since": "2h", "namespace": "v2", "dry_run": dry_run}

    answer = rest.post("/api/v1/tasks:retry", json=asked)

    assert answer.status_code == status
    assert answer.json() == {
        "dry_run": dry_run,
        "matched": 2,
        "retried": 0,
        "rows": 0,
        "next_page_token": "",
        "refused": {"SUPERSEDED": 1},
        "tasks": [],
    }
    assert (seen.request.status, seen.request.reason, seen.request.since) == ("failed", "index_refused", "2h")
    assert rest.get("/api/v1/tasks:retry").status_code == 405


def test_a_servicers_error_keeps_all_its_details(rest: httpx.Client) -> None:
    body = error(rest.post("/api/v1/process", json={"s3_key": "bad"}), 400, 3, "INVALID_ARGUMENT")

    assert [violation["field"] for violation in body["details"][1]["field_violations"]] == ["chunk_size", "priority"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "reason"),
    [
        ("GET", "/api/v1/status/unknown", 404, 5, "TASK_NOT_FOUND"),
        ("GET", "/api/v1/status/unknown/watch", 404, 5, "TASK_NOT_FOUND"),
        ("GET", "/api/v1/status/unknown/rejects", 404, 5, "TASK_NOT_FOUND"),
        ("GET", "/api/v1/status/nokey", 401, 16, "UNAUTHENTICATED"),
        ("GET", "/api/v1/tasks?status_filter=nokey", 401, 16, "UNAUTHENTICATED"),
        ("DELETE", "/api/v1/task/finished", 409, 10, "TASK_FINISHED"),
    ],
)
def test_errors_follow_the_grpc_code(
    rest: httpx.Client, method: str, path: str, status: int, code: int, reason: str
) -> None:
    error(rest.request(method, path), status, code, reason)


def test_a_status_prints_zeros_as_numbers_and_leaves_out_what_is_not_set(rest: httpx.Client) -> None:
    task = rest.get("/api/v1/status/t-9").json()

    assert task["task_id"] == "t-9"
    assert task["progress"]["total_records"] == 0
    assert task["metadata"]["created_at"] == "2026-01-02T03:04:05Z"
    assert "completed_at" not in task
    assert "error" not in task


def test_cancelling_answers_204_with_nothing_in_it(rest: httpx.Client) -> None:
    answer = rest.delete("/api/v1/task/t-1")

    assert answer.status_code == 204
    assert answer.content == b""
    assert "content-type" not in answer.headers
    assert rest.get("/api/v1/status/t-1").status_code == 200  # the connection is still good


def test_tasks_are_a_json_array_and_the_next_page_is_in_a_header(rest: httpx.Client, seen: Any) -> None:
    answer = rest.get("/api/v1/tasks?limit=3&offset=5&task_type=s3_csv&page_token=p")

    assert [task["task_id"] for task in answer.json()] == ["t-0", "t-1", "t-2"]
    assert answer.headers["x-next-page-token"] == "page-2"
    assert (seen.request.offset, seen.request.task_type, seen.request.page_token) == (5, "s3_csv", "p")


def test_no_tasks_are_an_empty_array(rest: httpx.Client) -> None:
    answer = rest.get("/api/v1/tasks?limit=0")

    assert (answer.status_code, answer.text) == (200, "[]")


def test_watch_is_server_sent_events(rest: httpx.Client) -> None:
    with rest.stream("GET", "/api/v1/status/t-1/watch") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]

    assert [event["status"] for event in events] == ["queued", "processing", "completed"]


def test_rejects_come_as_the_file_that_the_servicer_streams(rest: httpx.Client, seen: Any) -> None:
    answer = rest.get("/api/v1/status/t-1/rejects?format=csv&include=skipped")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(answer.text.splitlines()) == 1001
    assert (seen.request.format, seen.request.include) == ("csv", "skipped")


def test_search_takes_a_filter_and_answers_typed_metadata(rest: httpx.Client, seen: Any) -> None:
    answer = rest.post("/api/v1/search", json={"text": "boots", "top_k": 3, "filter": {"price": {"$lt": 10}}})

    assert answer.json() == {
        "matches": [{"id": "232.1", "score": 0.5, "metadata": {"text": "boots", "price": 3, "in_stock": True}}]
    }
    assert seen.request.filter["price"]["$lt"] == 10


def test_a_large_search_answer_comes_whole(rest: httpx.Client) -> None:
    assert len(rest.post("/api/v1/search", json={"text": "big"}).json()["matches"]) == 200


def test_the_health_view_may_say_503_and_keeps_its_body(rest: httpx.Client) -> None:
    answer = rest.get("/api/v1/health")

    assert answer.status_code == 503
    assert answer.json()["status"] == "unhealthy"
    assert answer.json()["workers"] == {"active": 0, "available": 0, "queued_tasks": 0}


def test_the_callers_key_and_idempotency_key_reach_the_servicer(rest: httpx.Client, seen: Any) -> None:
    rest.post("/api/v1/process", json={}, headers={"X-API-Key": "k", "Idempotency-Key": "once"})

    assert seen.metadata["x-api-key"] == "k"
    assert seen.metadata["idempotency-key"] == "once"


@pytest.mark.parametrize("name", ["9b#", "x-a-bin", "grpc-timeout", "grpc-encoding"])
def test_a_header_that_grpc_cannot_take_breaks_nothing(rest: httpx.Client, seen: Any, name: str) -> None:
    answer = rest.get("/api/v1/status/t-1", headers={name: "zz!"})

    assert answer.status_code == 200
    assert seen.metadata.get(name) != "zz!"


def test_our_own_headers_never_leave(rest: httpx.Client) -> None:
    headers = rest.post("/api/v1/process", json={}).headers

    assert headers["server"] == "vectorline"
    assert not [name for name in headers if name.startswith(("grpc-", "x-http-code", "x-envoy-upstream"))]


def test_a_wrong_json_body_is_a_400_in_the_same_form(rest: httpx.Client) -> None:
    error(rest.post("/api/v1/process", content=b"{bad"), 400, 3, "BAD_REQUEST")


def test_a_field_of_the_wrong_type_is_named(rest: httpx.Client) -> None:
    answer = rest.post("/api/v1/process", json={"question_id": "many"})

    assert "question_id" in error(answer, 400, 3, "BAD_REQUEST")["message"]


@pytest.mark.parametrize(
    "path", ["/api/v1/tasks?bogus=1", "/api/v1/status/t-1?bogus=1", "/api/v1/upload/a.csv?bogus=1"]
)
def test_an_unknown_query_parameter_is_named(rest: httpx.Client, path: str) -> None:
    answer = rest.request("POST" if "upload" in path else "GET", path)

    assert "bogus" in error(answer, 400, 3, "BAD_REQUEST")["message"]


@pytest.mark.parametrize("path", ["/nope", "/api/v1/nope", "/api/v2/process", "/api/v1/status/a/b"])
def test_an_unknown_path_is_a_404_in_the_same_form(rest: httpx.Client, path: str) -> None:
    error(rest.get(path), 404, 5, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/process", "POST"),
        ("PUT", "/api/v1/upload/a.csv", "POST"),
        ("POST", "/api/v1/tasks", "GET, HEAD"),
        ("POST", "/api/v1/status/t-1/watch", "GET, HEAD"),
        ("GET", "/api/v1/task/t-1", "DELETE"),
    ],
)
def test_another_method_is_a_405_that_names_the_right_one(
    rest: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = rest.request(method, path)

    error(answer, 405, 12, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


def test_a_body_of_one_message_ends_at_one_mebibyte(rest: httpx.Client) -> None:
    error(rest.post("/api/v1/process", json={"s3_key": "x" * 2_000_000}), 413, 3, "BODY_TOO_LARGE")


def test_a_service_that_takes_too_long_is_a_504(rest: httpx.Client) -> None:
    error(rest.post("/api/v1/search", json={"text": "slow"}), 504, 4, "DEADLINE_EXCEEDED")

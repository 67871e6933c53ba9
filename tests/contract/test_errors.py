"""API §1: one form of errors everywhere, whoever makes them; a bad request names every bad field at once."""

from typing import Any

import httpx
import pytest

from tests.support.line import Line

FORM = {"code", "message", "details"}


def error(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """The body, if it is an error in the one form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == FORM
    assert body["code"] == code
    assert body["message"]
    info = body["details"][0]
    assert set(info) == {"@type", "reason", "domain", "metadata"}
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "vectorline"
    assert info["reason"].isupper()
    assert "Traceback" not in answer.text
    return body


def fields(body: dict[str, Any]) -> set[str]:
    """The bad fields that an error names."""
    found = [each for each in body["details"] if each["@type"].endswith("BadRequest")]
    assert len(found) == 1
    assert all(each["description"] for each in found[0]["field_violations"])
    return {each["field"] for each in found[0]["field_violations"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/status/{id}"),
        ("GET", "/api/v1/status/{id}/watch"),
        ("GET", "/api/v1/status/{id}/rejects"),
        ("DELETE", "/api/v1/task/{id}"),
        ("POST", "/api/v1/task/{id}/retry"),
        ("POST", "/api/v1/task/{id}/confirm"),
        ("GET", "/api/v1/monitoring/tasks/{id}"),
        ("GET", "/api/v1/monitoring/tasks/{id}/progress"),
        ("POST", "/api/v1/monitoring/tasks/{id}/cancel"),
    ],
)
def test_an_unknown_task_is_a_404(line: Line, method: str, path: str) -> None:
    answer = line.rest.request(method, path.format(id="00000000-0000-4000-8000-000000000000"))

    assert error(answer, 404, 5)["details"][0]["reason"] == "TASK_NOT_FOUND"


@pytest.mark.parametrize("key", [{}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer x"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/process"),
        ("POST", "/api/v1/estimate"),
        ("POST", "/api/v1/upload/a.csv"),
        ("POST", "/api/v1/search"),
        ("GET", "/api/v1/tasks"),
        ("GET", "/api/v1/status/x"),
        ("GET", "/api/v1/monitoring/dashboard"),
        ("GET", "/api/v1/monitoring/queues"),
        ("POST", "/api/v1/monitoring/cleanup"),
        ("POST", "/api/v1/namespaces/release"),
    ],
)
def test_without_a_good_key_it_is_a_401(line: Line, method: str, path: str, key: dict[str, str]) -> None:
    with httpx.Client(base_url=line.endpoints["GATEWAY_URL"]) as stranger:
        error(stranger.request(method, path, headers=key, json={}), 401, 16)


def test_a_path_that_is_not_there_is_a_404_in_the_same_form(line: Line) -> None:
    error(line.rest.get("/api/v1/nothing"), 404, 5)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/v1/process", "POST"),
        ("GET", "/api/v1/upload/a.csv", "POST"),
        ("POST", "/api/v1/tasks", "GET, HEAD"),
        ("DELETE", "/api/v1/status/x", "GET, HEAD"),
        ("GET", "/api/v1/task/x", "DELETE"),
        ("POST", "/api/v1/health", "GET, HEAD"),
        ("DELETE", "/api/v1/monitoring/workers", "GET, HEAD"),
        ("GET", "/api/v1/monitoring/cleanup", "POST"),
        ("GET", "/api/v1/namespaces/release", "POST"),
        ("POST", "/api/v1/openapi.json", "GET, HEAD"),
        ("POST", "/api/v1/docs", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405_that_says_which(line: Line, method: str, path: str, allow: str) -> None:
    answer = line.rest.request(method, path)

    error(answer, 405, 12)
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path", ["/api/v1/tasks", "/api/v1/status/x", "/api/v1/health", "/api/v1/monitoring/statistics"]
)
def test_an_unknown_query_parameter_is_a_400(line: Line, path: str) -> None:
    assert "surprise" in error(line.rest.get(path, params={"surprise": 1}), 400, 3)["message"]


@pytest.mark.parametrize("body", [b"{", b'{"question_id": "many"}', b"[]", b'{"chunk_size": -1}', b"\xff"])
def test_a_body_that_is_no_such_json_is_a_400(line: Line, body: bytes) -> None:
    error(line.rest.post("/api/v1/process", content=body, headers={"content-type": "application/json"}), 400, 3)


def test_process_names_every_bad_field_at_once(line: Line) -> None:
    bad = {
        "data_source": "ftp",
        "batch_size": 1,
        "chunk_size": 99,
        "start_date": "01/02/2025",
        "end_date": "soon",
        "priority": "urgent",
        "sanitizer": "rough",
        "metadata": "all",
        "on_duplicate": "last",
        "on_long_text": "cut",
        "delimiter": "x",
        "encoding": "klingon",
    }

    assert set(bad) | {"question_id"} <= fields(error(line.rest.post("/api/v1/process", json=bad), 400, 3))


def test_a_mirror_of_some_days_of_a_file_is_refused(line: Line) -> None:
    """Whatever lies outside of the days would be removed."""
    body = {"data_source": "s3_csv", "s3_key": "a.csv", "question_id": 1, "mode": "mirror", "start_date": "2026-11-01"}

    assert fields(error(line.rest.post("/api/v1/process", json=body), 400, 3)) == {"mode"}


@pytest.mark.parametrize(
    "options", [{}, {"question_id": 1, "chunk_size": 5}, {"question_id": 1, "priority": "x"}], ids=str
)
def test_an_upload_is_refused_before_its_body_is_kept(line: Line, options: dict[str, Any]) -> None:
    fields(error(line.rest.post("/api/v1/upload/a.csv", params=options, content=b"id,formatted_text\n"), 400, 3))


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({}, {"text"}),
        ({"text": "  "}, {"text"}),
        ({"text": "x", "top_k": 0}, {"top_k"}),
        ({"text": "", "top_k": 1001}, {"text", "top_k"}),
    ],
)
def test_a_search_names_what_is_wrong_with_it(line: Line, body: dict[str, Any], bad: set[str]) -> None:
    assert fields(error(line.rest.post("/api/v1/search", json=body), 400, 3)) == bad


@pytest.mark.parametrize(
    ("path", "params", "bad"),
    [
        ("/api/v1/tasks", {"limit": 0}, {"limit"}),
        ("/api/v1/tasks", {"limit": 1001, "offset": 10_001}, {"limit", "offset"}),
        ("/api/v1/tasks", {"status_filter": "done", "task_type": "csv"}, {"status_filter", "task_type"}),
        ("/api/v1/tasks", {"page_token": "nonsense"}, {"page_token"}),
        ("/api/v1/monitoring/statistics", {"hours": 0}, {"hours"}),
        ("/api/v1/monitoring/anomalies", {"hours": 745}, {"hours"}),
        ("/api/v1/monitoring/dashboard", {"hours": 0}, {"hours"}),
        ("/api/v1/monitoring/tasks", {"hours": 0, "limit": 0}, {"hours", "limit"}),
    ],
)
def test_a_query_names_what_is_wrong_with_it(line: Line, path: str, params: dict[str, Any], bad: set[str]) -> None:
    assert fields(error(line.rest.get(path, params=params), 400, 3)) == bad


def test_a_form_of_rejects_that_there_is_not_is_a_400(line: Line, done: dict[str, Any]) -> None:
    path = f"/api/v1/status/{done['task_id']}/rejects"

    assert fields(error(line.rest.get(path, params={"format": "xml", "include": "all"}), 400, 3)) == {
        "format",
        "include",
    }


def test_a_json_body_over_a_mebibyte_is_a_413(line: Line) -> None:
    error(line.rest.post("/api/v1/process", json={"s3_key": "x" * 2_000_000}), 413, 3)

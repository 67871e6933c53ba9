"""A file goes in at the gateway, and every row comes out as a vector or in the rejects."""

import json
import signal

import pytest

from tests.support import csvs
from tests.support.line import Line, wait_for


def test_every_row_of_an_upload_is_in_the_index(line: Line) -> None:
    task = line.finished(line.upload(csvs.of(csvs.rows(5_000)), namespace="upload"))

    assert task["status"] == "completed"
    assert task["progress"]["processed_records"] == 5_000
    assert set(line.index("upload")) == {f"232.i{number}" for number in range(1, 5_001)}


def test_the_same_file_by_s3_gives_the_same_vectors(line: Line) -> None:
    content = csvs.of(csvs.rows(2_500))
    line.put("exports/items.csv", content)
    by_upload = line.upload(content, namespace="same-a")
    by_key = line.process(data_source="s3_csv", s3_key="exports/items.csv", namespace="same-b")

    assert line.finished(by_upload)["status"] == line.finished(by_key)["status"] == "completed"
    uploaded, keyed = line.index("same-a"), line.index("same-b")
    assert {id_: each["sha256"] for id_, each in uploaded.items()} == {id_: e["sha256"] for id_, e in keyed.items()}
    assert len(keyed) == 2_500


def test_metadata_is_typed_by_the_whole_column(line: Line) -> None:
    line.finished(line.upload(csvs.of(csvs.rows(10)), namespace="typed"))

    metadata = line.index("typed")["232.i4"]["metadata"]
    assert metadata["price"] == 1.0
    assert metadata["in_stock"] is False
    assert metadata["zip"] == "00004"
    assert metadata["text"] == csvs.text_of(4)
    assert metadata["row_id"] == "i4"


def test_search_finds_by_meaning_and_filters(line: Line) -> None:
    rows = [
        ("1", "A bow and arrows for the archer", "10", "true", "1"),
        ("2", "Annual report of a bank", "20", "true", "2"),
        ("3", "Arrows of carbon for archery", "90", "true", "3"),
    ]
    line.finished(line.upload(csvs.of(rows), namespace="search"))

    found = line.rest.post("/api/v1/search", json={"text": "archery equipment", "namespace": "search", "top_k": 2})
    cheap = line.rest.post(
        "/api/v1/search",
        json={"text": "archery equipment", "namespace": "search", "filter": {"price": {"$lt": 15}}},
    )

    assert [match["id"] for match in found.json()["matches"]] in (["232.3", "232.1"], ["232.1", "232.3"])
    assert [match["id"] for match in cheap.json()["matches"]] == ["232.1"]


def test_bad_rows_are_named_rejects_and_harm_no_neighbour(line: Line) -> None:
    rows: list[tuple[str, ...]] = csvs.rows(1_000)
    rows[9] = ("", "no id", "1", "true", "1")
    rows[19] = ("i20", "   ", "1", "true", "1")
    rows[29] = ("i30", "too few cells")
    rows[39] = ("i1", "the id of row 1 again", "1", "true", "1")
    task_id = line.upload(csvs.of(rows), namespace="bad")

    task = line.finished(task_id)

    assert task["status"] == "partially_completed"
    assert task["result"] | {"duration_seconds": 0} == {
        "indexed": 996,
        "skipped": 1,
        "unchanged": 0,
        "removed": 0,
        "failed": 3,
        "duration_seconds": 0,
        "failed_by_reason": {"missing_id": 1, "empty_text": 1, "ragged_row": 1},
    }
    rejects = {each["row_number"]: each for each in line.rejects(task_id)}
    assert {number: each["reason"] for number, each in rejects.items()} == {
        10: "missing_id",
        20: "empty_text",
        30: "ragged_row",
    }
    assert rejects[10]["formatted_text"] == "no id"


def test_an_unbalanced_quote_fails_the_task_before_a_cent_is_spent(line: Line) -> None:
    line.forget()
    content = csvs.of(csvs.rows(100)) + b'i101,"never closed,1,true,1\ni102,lost,1,true,1\n'

    task = line.finished(line.upload(content, namespace="quote"))

    assert task["status"] == "failed"
    assert task["error_reason"] == "UNBALANCED_QUOTE"
    assert "101" in task["error"]
    assert line.purchases()["summary"]["inputs_bought"] == 0


def test_a_missing_object_is_a_failed_task_with_a_reason(line: Line) -> None:
    task = line.finished(line.process(data_source="s3_csv", s3_key="no/such.csv"))

    assert task["status"] == "failed"
    assert task["error_reason"] == "SOURCE_NOT_FOUND"


def test_a_header_only_file_completes_with_nothing(line: Line) -> None:
    task = line.finished(line.upload(csvs.of([]), namespace="empty"))

    assert task["status"] == "completed"
    assert task["progress"]["total_records"] == 0


def test_one_idempotency_key_makes_one_task(line: Line) -> None:
    content = csvs.of(csvs.rows(10))
    line.put("exports/key.csv", content)
    body = {"data_source": "s3_csv", "s3_key": "exports/key.csv", "question_id": 1, "namespace": "key"}
    headers = {"Idempotency-Key": "one-key"}

    first = line.rest.post("/api/v1/process", json=body, headers=headers)
    again = line.rest.post("/api/v1/process", json=body, headers=headers)
    other = line.rest.post("/api/v1/process", json=body | {"namespace": "other"}, headers=headers)

    assert first.json()["task_id"] == again.json()["task_id"]
    assert other.status_code == 409
    assert other.json()["details"][0]["reason"] == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.timeout(300)
def test_an_embedder_killed_in_mid_task_changes_no_count(line: Line) -> None:
    line.forget()
    task_id = line.upload(csvs.of(csvs.rows(20_000)), namespace="killed")
    wait_for("a settled chunk", lambda: line.task(task_id)["progress"]["chunks_completed"] >= 2)
    line.kill("embedder-1", signal.SIGKILL)

    task = line.finished(task_id, 180)

    assert task["status"] == "completed"
    assert task["progress"]["processed_records"] == 20_000
    assert set(line.index("killed")) == {f"232.i{number}" for number in range(1, 20_001)}


def test_a_cancelled_task_stops_buying_and_adds_up(line: Line) -> None:
    task_id = line.upload(csvs.of(csvs.rows(50_000)), namespace="cancel")
    wait_for("a settled chunk", lambda: line.task(task_id)["progress"]["chunks_completed"] >= 1)

    assert line.rest.delete(f"/api/v1/task/{task_id}").status_code == 204
    task = line.finished(task_id)

    assert task["status"] == "cancelled"
    assert line.rest.delete(f"/api/v1/task/{task_id}").status_code == 409


def test_watch_tells_each_change_and_ends(line: Line) -> None:
    task_id = line.upload(csvs.of(csvs.rows(3_000)), namespace="watch")
    with line.rest.stream("GET", f"/api/v1/status/{task_id}/watch") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(row.removeprefix("data: ")) for row in answer.iter_lines() if row.startswith("data: ")]

    assert events[-1]["status"] == "completed"
    assert [each["progress"]["processed_records"] for each in events] == sorted(
        each["progress"]["processed_records"] for each in events
    )


def test_tasks_are_an_array_newest_first_with_a_next_page(line: Line) -> None:
    ids = [line.upload(csvs.of(csvs.rows(1)), namespace="list") for _ in range(3)]

    page = line.rest.get("/api/v1/tasks", params={"limit": 2})
    more = line.rest.get("/api/v1/tasks", params={"limit": 2, "page_token": page.headers["x-next-page-token"]})

    assert [each["task_id"] for each in page.json()] == [ids[2], ids[1]]
    assert more.json()[0]["task_id"] == ids[0]


def test_a_wrong_request_names_every_bad_field(line: Line) -> None:
    answer = line.rest.post("/api/v1/process", json={"data_source": "ftp", "chunk_size": 1})

    violations = next(each for each in answer.json()["details"] if each["@type"].endswith("BadRequest"))
    assert answer.status_code == 400
    assert {each["field"] for each in violations["field_violations"]} >= {"data_source", "chunk_size", "question_id"}


def test_without_a_key_nothing_but_health_answers(line: Line) -> None:
    stranger = {"X-API-Key": "wrong"}

    assert line.rest.get("/api/v1/tasks", headers=stranger).status_code == 401
    assert line.rest.get("/api/v1/health", headers=stranger).json()["status"] == "healthy"
    assert line.rest.get("/healthz", headers=stranger).status_code == 200


def test_a_retry_takes_only_the_rejected_rows_and_keeps_their_numbers(line: Line) -> None:
    rows: list[tuple[str, ...]] = csvs.rows(2_500)
    for number in (7, 8, 1_700):
        rows[number - 1] = (f"i{number}", "", "1", "true", "1")
    parent = line.upload(csvs.of(rows), namespace="retry")
    line.finished(parent)

    nothing = line.rest.post(f"/api/v1/task/{parent}/retry")
    accepted = line.rest.post(f"/api/v1/task/{parent}/retry", params={"all": "true"})
    again = line.rest.post(f"/api/v1/task/{parent}/retry", params={"all": "true"})
    retry = line.finished(accepted.json()["task_id"])

    assert (nothing.status_code, nothing.json()["details"][0]["reason"]) == (409, "NOTHING_TO_RETRY")
    assert accepted.status_code == 202
    assert again.json()["task_id"] == accepted.json()["task_id"]
    assert retry["metadata"]["parent_task_id"] == parent
    assert retry["progress"]["total_records"] == retry["progress"]["failed_records"] == 3
    assert [each["row_number"] for each in line.rejects(retry["task_id"])] == [7, 8, 1_700]


@pytest.mark.timeout(480)
def test_a_retry_of_what_a_later_task_wrote_is_refused(line: Line) -> None:
    rows: list[tuple[str, ...]] = [*csvs.rows(3), ("i4", "", "1", "true", "1")]
    first = line.upload(csvs.of(rows), namespace="superseded")
    line.finished(first)
    second = line.upload(csvs.of(rows), namespace="superseded")
    line.finished(second, 180)

    refused = line.rest.post(f"/api/v1/task/{first}/retry", params={"all": "true"})

    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (409, "SUPERSEDED")
    assert refused.json()["details"][0]["metadata"]["later_task_id"] == second

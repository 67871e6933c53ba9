"""API §1: what a request may say, and what it means: process, upload and estimate."""

import csv
import io
import uuid
from typing import Any

import httpx
import pytest

from services.embedder.buying import tokens
from tests.contract.test_errors import error, fields
from tests.support import csvs
from tests.support.line import Line

MISSING = {"data_source": "s3_csv", "s3_key": "contract/none.csv", "question_id": 7}


def process(line: Line, key: str = "", **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return line.rest.post("/api/v1/process", json=MISSING | body, headers=headers)


# ---- idempotency


def test_the_header_and_request_id_are_one_key(line: Line) -> None:
    by_header = process(line, "contract-one")
    by_body = process(line, request_id="contract-one")
    by_both = process(line, "contract-one", request_id="contract-one")

    assert [each.status_code for each in (by_header, by_body, by_both)] == [202] * 3
    assert len({each.json()["task_id"] for each in (by_header, by_body, by_both)}) == 1


def test_another_body_under_the_same_key_is_a_409_that_names_the_task(line: Line) -> None:
    first = process(line, "contract-409").json()["task_id"]
    details = error(process(line, request_id="contract-409", chunk_size=500), 409, 6)["details"]

    assert details[0]["reason"] == "IDEMPOTENCY_KEY_REUSED"
    assert details[0]["metadata"]["task_id"] == first


def test_two_different_keys_in_one_request_are_a_bad_field(line: Line) -> None:
    assert fields(error(process(line, "contract-a", request_id="contract-b"), 400, 3)) == {"request_id"}


def test_without_a_key_every_request_is_a_task_of_its_own(line: Line) -> None:
    assert process(line).json()["task_id"] != process(line).json()["task_id"]


def test_an_upload_has_its_key_as_a_query_parameter_too(line: Line) -> None:
    options = {"namespace": "contract-upload-key"}
    by_query = line.upload(csvs.of(csvs.rows(2)), request_id="contract-upload", **options)
    by_header = line.rest.post(
        "/api/v1/upload/items.csv",
        params={"question_id": 232, **options},
        content=csvs.of(csvs.rows(2)),
        headers={"Idempotency-Key": "contract-upload"},
    )

    assert by_header.json()["task_id"] == by_query
    line.finished(by_query)  # what it buys is not another test's


# ---- fields


def test_what_this_deployment_refuses_is_named_with_all_that_is_wrong(line: Line) -> None:
    stranger = process(line, s3_key="s3://stranger/a.csv", chunk_size=1, priority="x")
    no_metabase = process(line, data_source="metabase", batch_size=1)
    no_files = process(line, data_source="local_csv", start_date="soon")

    assert fields(error(stranger, 400, 3)) == {"s3_key", "chunk_size", "priority"}
    assert fields(error(no_metabase, 400, 3)) == {"data_source", "batch_size", "start_date"}
    assert fields(error(no_files, 400, 3)) == {"data_source", "start_date"}


@pytest.mark.parametrize(("field", "least", "most"), [("batch_size", 100, 10_000), ("chunk_size", 100, 100_000)])
def test_sizes_are_taken_up_to_their_bounds(line: Line, field: str, least: int, most: int) -> None:
    assert [process(line, **{field: size}).status_code for size in (least, most)] == [202, 202]
    for size in (least - 1, most + 1, 0):
        assert fields(error(process(line, **{field: size}), 400, 3)) == {field}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("priority", ("low", "normal", "high")),
        ("sanitizer", ("clean", "legacy", "none")),
        ("metadata", ("typed", "legacy")),
        ("on_duplicate", ("first", "fail")),
        ("on_long_text", ("reject", "truncate")),
        ("mode", ("upsert",)),
        ("delimiter", (",", ";", "|", "\t")),
    ],
)
def test_every_named_choice_is_taken_and_stored(line: Line, field: str, values: tuple[str, ...]) -> None:
    for value in values:
        task = line.task(process(line, **{field: value}).json()["task_id"])
        assert task["metadata"]["parameters"][field] == value


def test_old_callers_forms_are_taken(line: Line) -> None:
    """Numbers as strings, camelCase, null for what is left out, and fields that nobody knows."""
    old = {"dataSource": "s3_csv", "s3Key": "contract/none.csv", "questionId": "7", "end_date": None, "verbose": True}

    assert line.rest.post("/api/v1/process", json=old).status_code == 202


@pytest.mark.parametrize("body", [MISSING | {"start_date": "2025-02-30"}, MISSING | {"end_date": "2025-1-1"}])
def test_dates_are_days_of_the_calendar(line: Line, body: dict[str, Any]) -> None:
    assert fields(error(line.rest.post("/api/v1/process", json=body), 400, 3)) <= {"start_date", "end_date"}


def test_a_search_names_bad_text_top_k_and_namespace_at_once(line: Line) -> None:
    body = {"text": "word " * 9_000, "top_k": 0, "namespace": "n" * 513}

    answer = line.rest.post("/api/v1/search", json=body)

    assert fields(error(answer, 400, 3)) == {"text", "top_k", "namespace"}


def test_a_filter_that_the_index_refuses_is_named_in_its_own_words(line: Line) -> None:
    answer = line.rest.post("/api/v1/search", json={"text": "x", "filter": {"price": {"$no": 1}}})

    assert fields(error(answer, 400, 3)) == {"filter"}
    assert "request_id" not in answer.text


def test_a_list_names_a_bad_token_with_all_that_is_wrong(line: Line) -> None:
    answer = line.rest.get("/api/v1/tasks", params={"limit": 0, "offset": 10_001, "page_token": "x", "task_type": "x"})

    assert fields(error(answer, 400, 3)) == {"limit", "offset", "page_token", "task_type"}


def test_a_page_token_of_other_filters_is_a_bad_field(line: Line) -> None:
    process(line), process(line)  # so that there is a next page
    token = line.rest.get("/api/v1/tasks", params={"limit": 1}).headers["x-next-page-token"]

    answer = line.rest.get("/api/v1/tasks", params={"page_token": token, "status_filter": "failed"})

    assert fields(error(answer, 400, 3)) == {"page_token"}


# ---- estimates


def test_an_estimate_has_every_number_exactly_and_buys_nothing(line: Line) -> None:
    # tokens.count is tiktoken's cl100k_base, here over the whole file as the test wrote it.
    rows: list[tuple[str, ...]] = csvs.rows(1_300)
    rows[4] = ("i5", "", "1", "true", "1")
    rows[9] = ("i1", "the first row's id", "1", "true", "1")
    content = csvs.of(rows)
    line.put("contract/estimate.csv", content)
    line.forget()

    answer = line.rest.post("/api/v1/estimate", json=MISSING | {"s3_key": "contract/estimate.csv", "namespace": "new"})
    found = answer.json()

    usable = [row for number, row in enumerate(csv.reader(io.StringIO(content.decode()))) if number not in (0, 5, 10)]
    assert answer.status_code == 200
    assert (found["rows"], found["usable"], found["rejected"], found["skipped"]) == (1_300, 1_298, 1, 1)
    assert found["tokens"] == sum(tokens.count([row[1] for row in usable]))
    assert found["price_usd"] == pytest.approx(found["billed_tokens"] * 0.02 / 1e6)
    assert [(group["reason"], group["rows"]) for group in found["rejects"]] == [("empty_text", 1)]
    assert found["rejects"][0]["samples"][0]["row_number"] == 5
    assert found["rejects"][0]["samples"][0]["message"]
    assert (found["chunks"], found["model"]) == (2, "text-embedding-3-small")
    assert (found["namespace_check"]["index_dimension"], found["namespace_check"]["dimension"]) == (1536, 1536)
    assert line.purchases()["summary"]["inputs_bought"] == 0


def test_an_estimated_upload_is_no_task_until_process_takes_its_id(line: Line) -> None:
    def newest() -> list[str]:
        return [task["task_id"] for task in line.rest.get("/api/v1/tasks", params={"limit": 5}).json()]

    before = newest()
    options = {"question_id": 232, "namespace": "contract-estimated", "estimate": "true"}
    answer = line.rest.post("/api/v1/upload/a.csv", params=options, content=csvs.of(csvs.rows(3)))

    assert answer.status_code == 200
    assert newest() == before
    task = line.process(data_source="upload", upload_id=answer.json()["upload_id"], namespace="contract-estimated")
    assert line.finished(task)["progress"]["processed_records"] == 3


def test_an_upload_id_that_is_not_ours_is_a_404(line: Line) -> None:
    details = error(process(line, data_source="upload", upload_id=str(uuid.uuid4())), 404, 5)["details"]

    assert details[0]["reason"] == "UPLOAD_NOT_FOUND"


# ---- what becomes of a row


def test_a_vector_has_the_metadata_of_the_contract(line: Line) -> None:
    content = b"id,formatted_text,task_id,colour,empty\n1,A red bike,theirs,red,\n"
    task = line.upload(content, namespace="contract-metadata", question_id=9)
    line.finished(task)

    metadata = line.index("contract-metadata")["9.1"]["metadata"]

    assert metadata == {
        "text": "A red bike",
        "source": "upload",
        "s3_key": "items.csv",
        "chunk_id": 0,
        "record_index": 0,
        "task_id": task,
        "question_id": 9,
        "row_id": "1",
        "processed_at": metadata["processed_at"],
        "csv_task_id": "theirs",
        "colour": "red",
    }

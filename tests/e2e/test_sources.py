"""Every source, at the gateway: what a load would come to, and the load itself."""

import gzip
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line


@pytest.fixture
def metabase(line: Line) -> Iterator[httpx.Client]:
    """The stand-in's control API, with nothing scripted."""
    with httpx.Client(base_url=line.endpoints["METABASE_URL"]) as client:
        client.delete("/_sandbox/requests").raise_for_status()
        client.delete("/_sandbox/faults").raise_for_status()
        yield client


@pytest.fixture
def local(line: Line) -> pathlib.Path:
    return line.folder / "local"


def estimate(line: Line, **request: Any) -> httpx.Response:
    return line.rest.post("/api/v1/estimate", json={"question_id": 232, **request}, timeout=300)


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["details"][0]["reason"])


# ---- estimates


def test_an_estimate_is_what_the_task_then_comes_to(line: Line) -> None:
    rows: list[tuple[str, ...]] = csvs.rows(3_000)
    rows[9] = ("", "no id", "1", "true", "1")
    rows[19] = ("i1", "the id of the first row", "1", "true", "1")
    line.put("exports/estimate.csv", csvs.of(rows))
    source = {"data_source": "s3_csv", "s3_key": "exports/estimate.csv", "namespace": "estimate"}
    line.forget()

    answer = estimate(line, **source)
    bought_before = line.purchases()["summary"]
    task = line.finished(line.process(**source))
    bought = line.purchases()["summary"]

    found = answer.json()
    assert answer.status_code == 200
    assert bought_before["inputs_bought"] == 0
    assert (found["rows"], found["usable"], found["skipped"], found["rejected"]) == (3_000, 2_998, 1, 1)
    assert found["usable"] == task["progress"]["processed_records"] == bought["inputs_bought"]
    assert found["rejects"][0]["reason"] == "missing_id"
    assert found["rejects"][0]["samples"][0]["row_number"] == 10
    assert found["billed_tokens"] == bought["tokens_bought"]
    assert found["price_usd"] == pytest.approx(found["billed_tokens"] * 0.02 / 1e6)
    assert found["namespace_check"] == {
        "namespace": "estimate",
        "holds_model": "",
        "holds_dimension": 0,
        "index_dimension": 1536,
        "dimension": 1536,
        "problem": "",
    }
    assert "duration_seconds" not in found  # the line has no limits
    assert "upload_id" not in found


def test_an_upload_is_estimated_and_then_loaded_by_its_id(line: Line) -> None:
    content = gzip.compress(csvs.of(csvs.rows(1_200)))

    answer = line.rest.post(
        "/api/v1/upload/a.csv.gz",
        params={"question_id": 232, "namespace": "by-id", "estimate": "true"},
        content=content,
    )
    found = answer.json()
    task = line.finished(line.process(data_source="upload", upload_id=found["upload_id"], namespace="by-id"))

    assert (answer.status_code, found["task_id"], found["estimate"]["rows"]) == (200, "", 1_200)
    assert task["progress"]["processed_records"] == 1_200
    assert len(line.index("by-id")) == 1_200


def test_a_plain_upload_tells_its_id_and_no_estimate(line: Line) -> None:
    answer = line.rest.post(
        "/api/v1/upload/a.csv", params={"question_id": 232, "namespace": "plain"}, content=csvs.of(csvs.rows(1))
    )

    assert answer.status_code == 202
    assert uuid.UUID(answer.json()["upload_id"])
    assert "estimate" not in answer.json()


def test_one_key_and_another_file_are_a_conflict(line: Line) -> None:
    def send(content: bytes) -> httpx.Response:
        return line.rest.post(
            "/api/v1/upload/a.csv",
            params={"question_id": 232, "namespace": "keyed"},
            headers={"Idempotency-Key": "upload-key"},
            content=content,
        )

    first, again, other = (send(csvs.of(csvs.rows(count))) for count in (2, 2, 3))

    assert first.json()["task_id"] == again.json()["task_id"]
    assert (other.status_code, reason(other)) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_source_that_no_task_could_load_is_refused_by_name(line: Line) -> None:
    line.put("exports/open.csv", b'id,formatted_text\n1,"open\n')

    quote = estimate(line, data_source="s3_csv", s3_key="exports/open.csv")
    missing = estimate(line, data_source="s3_csv", s3_key="exports/none.csv")
    no_column = line.rest.post(
        "/api/v1/upload/a.csv", params={"question_id": 1, "estimate": "true"}, content=b"id,words\n1,a\n"
    )

    assert (quote.status_code, reason(quote)) == (400, "UNBALANCED_QUOTE")
    assert (missing.status_code, reason(missing)) == (404, "SOURCE_NOT_FOUND")
    assert (no_column.status_code, reason(no_column)) == (400, "MISSING_COLUMN")


def test_an_unknown_upload_is_not_found(line: Line) -> None:
    answer = line.rest.post(
        "/api/v1/process", json={"data_source": "upload", "question_id": 1, "upload_id": str(uuid.uuid4())}
    )

    assert (answer.status_code, reason(answer)) == (404, "UPLOAD_NOT_FOUND")


# ---- allowed places


@pytest.mark.parametrize(
    "key", ["uploads/x/a.csv", "plans/x/plan.json", "s3://stranger/a.csv", "s3://partner/private/a.csv"]
)
def test_keys_outside_of_the_allowed_places_are_refused(line: Line, key: str) -> None:
    answer = line.rest.post("/api/v1/process", json={"data_source": "s3_csv", "question_id": 1, "s3_key": key})

    assert answer.status_code == 400
    assert answer.json()["details"][1]["field_violations"][0]["field"] == "s3_key"


def test_an_allowed_prefix_of_another_bucket_is_read(line: Line) -> None:
    s3 = line.s3()
    s3.create_bucket(Bucket="partner")
    s3.put_object(Bucket="partner", Key="exports/a.csv", Body=csvs.of(csvs.rows(30)))

    task = line.finished(line.process(data_source="s3_csv", s3_key="s3://partner/exports/a.csv", namespace="partner"))

    assert task["progress"]["processed_records"] == 30


def test_a_local_file_is_loaded_and_no_path_leaves_its_folder(line: Line, local: pathlib.Path) -> None:
    (local / "in").mkdir()
    (local / "in" / "a.csv").write_bytes(csvs.of(csvs.rows(40)))
    (line.folder / "secret.csv").write_bytes(csvs.of(csvs.rows(1)))
    (local / "link.csv").symlink_to(line.folder / "secret.csv")

    task = line.finished(line.process(data_source="local_csv", s3_key="in/a.csv", namespace="local"))
    escapes = [
        line.finished(line.process(data_source="local_csv", s3_key=path, namespace=f"escape-{number}"))
        for number, path in enumerate(("../secret.csv", str(line.folder / "secret.csv"), "link.csv"))
    ]

    assert task["progress"]["processed_records"] == 40
    assert [(each["status"], each["error_reason"]) for each in escapes] == [("failed", "SOURCE_FORBIDDEN")] * 3


# ---- Metabase


def test_a_question_is_loaded_whole_and_asked_once(line: Line, metabase: httpx.Client) -> None:
    request = {"data_source": "metabase", "start_date": "2025-01-01", "end_date": "2025-09-30", "namespace": "metabase"}

    task = line.finished(line.process(**request))

    assert (task["status"], task["progress"]["total_records"]) == ("completed", 2_730)
    vector = line.index("metabase")["232.2730"]
    assert vector["metadata"]["created_at"] == "2025-09-30T00:00:00Z"
    assert vector["metadata"]["source"] == "metabase"
    assert [each["question"] for each in metabase.get("/_sandbox/requests").json()] == [232]


@pytest.mark.parametrize(
    ("fault", "error_reason"),
    [
        ({"kind": "error"}, "METABASE_REFUSED"),
        ({"kind": "error_behind"}, "METABASE_REFUSED"),
        ({"kind": "login"}, "METABASE_LOGIN"),
        ({"kind": "cap", "rows": 2_000}, "METABASE_TRUNCATED"),
    ],
)
def test_a_bad_export_fails_the_task_by_name_before_a_cent_is_spent(
    line: Line, metabase: httpx.Client, fault: dict[str, Any], error_reason: str
) -> None:
    line.forget()
    metabase.put("/_sandbox/faults", json=[fault]).raise_for_status()
    namespace = f"metabase-{fault['kind']}"

    task = line.finished(line.process(data_source="metabase", start_date="2025-01-01", namespace=namespace))

    assert (task["status"], task["error_reason"]) == ("failed", error_reason)
    assert line.purchases()["summary"]["inputs_bought"] == 0


def test_a_broken_export_is_asked_for_again(line: Line, metabase: httpx.Client) -> None:
    metabase.put("/_sandbox/faults", json=[{"kind": "reset", "times": 1}]).raise_for_status()

    task = line.finished(
        line.process(data_source="metabase", start_date="2025-12-01", namespace="metabase-again", question_id=232)
    )

    assert (task["status"], task["progress"]["total_records"]) == ("completed", 310)
    assert len(metabase.get("/_sandbox/requests").json()) == 2


def test_metabase_needs_a_start_date(line: Line) -> None:
    answer = line.rest.post("/api/v1/process", json={"data_source": "metabase", "question_id": 232})

    assert answer.status_code == 400
    assert answer.json()["details"][1]["field_violations"][0]["field"] == "start_date"

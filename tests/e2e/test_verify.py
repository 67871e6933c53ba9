"""What is known of a question, held against an index in which others deleted and wrote behind our back."""

from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line, wait_for

ROWS = 1_200
NAMESPACE = "verify"
HTTP = "http://"


@pytest.fixture(scope="module")
def loaded(line: Line) -> str:
    """The load that everything here is about."""
    task_id = line.upload(csvs.of(csvs.rows(ROWS)), namespace=NAMESPACE)
    assert line.finished(task_id)["status"] == "completed"
    return task_id


def asked(line: Line, **body: Any) -> httpx.Response:
    return line.rest.post("/api/v1/verify", json={"namespace": NAMESPACE, "question_id": 232, **body})


def verified(line: Line, **body: Any) -> dict[str, Any]:
    """A verify once it is over, which begins when the turn of the task before has passed on."""
    answer = asked(line, **body)
    assert answer.status_code == 202, answer.text
    task = line.finished(answer.json()["task_id"], 180)
    assert task["status"] == "completed", task
    return task


def stranger(line: Line, path: str, **body: Any) -> Any:
    """Somebody else's call of the index."""
    name = line.endpoints["PINECONE_INDEX_NAME"]
    headers = {"Api-Key": "any", "X-Pinecone-Api-Version": "2026-07"}
    host = httpx.get(f"{line.endpoints['PINECONE_CONTROLLER_HOST']}/indexes/{name}", headers=headers).json()["host"]
    answer = httpx.post(
        f"http://{host.removeprefix(HTTP)}/vectors/{path}", json={**body, "namespace": NAMESPACE}, headers=headers
    )
    assert answer.is_success, answer.text
    return answer.json()


def test_a_price_comes_first_and_nothing_is_done(line: Line, loaded: str) -> None:
    answer = asked(line, sample=50, dry_run=True)

    assert answer.status_code == 200, answer.text
    forecast = answer.json()["forecast"]
    assert (forecast["ids"], forecast["fetched"], forecast["sampled"]) == (ROWS, 1_000, 50)
    assert forecast["bill"]["read_units"] == 12 + 100 + 5
    assert forecast["bill"]["tokens"] > 0
    assert answer.json()["task_id"] == ""


def test_an_index_that_is_as_it_was_written_is_found_so(line: Line, loaded: str) -> None:
    line.forget()

    task = verified(line, sample=50)

    result = task["result"]
    assert task["metadata"]["task_type"] == "verify"
    assert [result[name] for name in ("listed", "known", "missing", "strange", "differing")] == [ROWS, ROWS, 0, 0, 0]
    assert (result["sampled"], result["fetched"]) == (50, 1_000)
    assert line.purchases()["summary"]["inputs_bought"] == 50
    assert task["bill"]["texts_bought"] == 50
    assert task["bill"]["write_units"] == 0
    assert task["progress"]["processed_records"] == task["progress"]["total_records"] == ROWS
    assert line.rejects(task["task_id"]) == []
    assert task["task_id"] in {each["task_id"] for each in line.rest.get("/api/v1/tasks?task_type=verify").json()}


def test_what_others_deleted_wrote_and_changed_is_found_and_bought_again(line: Line, loaded: str) -> None:
    before = line.index(NAMESPACE)
    other = [1.0] + [0.0] * 1_535
    stranger(line, "delete", ids=["232.i1", "232.i2", "232.i3"])
    stranger(line, "update", id="232.i10", setMetadata={"price": 99.0})
    same = before["232.i20"]["metadata"]
    vectors = [
        {"id": "232.i20", "values": other, "metadata": same},
        {"id": "232.stranger", "values": other, "metadata": {"text": "Not ours"}},
    ]
    stranger(line, "upsert", vectors=vectors)
    line.forget()

    task = verified(line, sample=ROWS, fetch=ROWS, repair=True)

    result = task["result"]
    assert [result[name] for name in ("missing", "strange", "differing")] == [3, 1, 2]
    found = {each["id"]: each["reason"] for each in line.rejects(task["task_id"])}
    assert found == {
        **dict.fromkeys(("232.i1", "232.i2", "232.i3"), "missing"),
        **dict.fromkeys(("232.i10", "232.i20"), "differing"),
        "232.stranger": "strange",
    }
    csv = line.rest.get(f"/api/v1/status/{task['task_id']}/rejects").text
    assert csv.splitlines()[0] == "id,row_number,line_number,reason,message,line_text"

    line.forget()
    repair = line.finished(result["repair_task_id"], 180)
    assert repair["status"] == "completed"
    assert repair["result"]["indexed"] == 5
    assert repair["result"]["unchanged"] == ROWS - 5
    assert line.purchases()["summary"]["inputs_bought"] == 5
    after = line.index(NAMESPACE)
    del after["232.stranger"]
    assert {name: each["sha256"] for name, each in after.items()} == {n: e["sha256"] for n, e in before.items()}
    assert after["232.i10"]["metadata"]["price"] == before["232.i10"]["metadata"]["price"]


def test_a_verify_is_no_load_to_be_retried(line: Line, loaded: str) -> None:
    task = wait_for("a verify", lambda: line.rest.get("/api/v1/tasks?task_type=verify&limit=1").json())[0]

    refused = line.rest.post(f"/api/v1/task/{task['task_id']}/retry", params={"all": "true"})

    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (409, "NOTHING_TO_RETRY")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"question_id": None}, {"question_id"}),
        ({"question_id": -1, "sample": 20_000, "namespace": "Zürich"}, {"question_id", "sample", "namespace"}),
    ],
)
def test_a_bad_request_names_every_field(line: Line, body: dict[str, Any], fields: set[str]) -> None:
    answer = asked(line, **body)

    violations = next(each for each in answer.json()["details"] if each["@type"].endswith("BadRequest"))
    assert answer.status_code == 400
    assert {each["field"] for each in violations["field_violations"]} == fields


def test_of_what_nothing_is_known_there_is_nothing_to_verify(line: Line) -> None:
    answer = asked(line, namespace="never-loaded")

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (409, "NOTHING_KNOWN")

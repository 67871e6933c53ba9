"""An index in which others delete, write and change behind our back: what verify finds, repairs and adopts.

All tasks run beside each other, so that their turns, of 13 s each, pass once for all tests.
"""

import dataclasses
from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line

# Also what all tests begin with, on a machine that may be busy.
pytestmark = pytest.mark.timeout(480)
ROWS, ADOPTED = 1_200, 300
HTTP = "http://"
# The predecessor's way: every value a string, dates and signs rewritten.
LEGACY = {"metadata": "legacy", "sanitizer": "legacy"}
LONG_AGO = "2026-01-01T00:00:00"


@dataclasses.dataclass
class Scene:
    """What was done, and the tasks that came of it."""

    before: dict[str, dict[str, Any]]
    price: httpx.Response
    clean: dict[str, Any]
    drifted: dict[str, Any]
    repair: dict[str, Any]
    after: dict[str, dict[str, Any]]
    adopted: dict[str, Any]
    refused: dict[str, dict[str, Any]]
    loaded: dict[str, dict[str, Any]]


def asked(line: Line, what: str, **body: Any) -> httpx.Response:
    return line.rest.post(f"/api/v1/{what}", json={"question_id": 232, **body})


def begun(line: Line, what: str, **body: Any) -> str:
    answer = asked(line, what, **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


class Stranger:
    """Somebody else's calls of the index."""

    def __init__(self, line: Line) -> None:
        self._headers = {"Api-Key": "any", "X-Pinecone-Api-Version": "2026-07"}
        name = line.endpoints["PINECONE_INDEX_NAME"]
        about = httpx.get(f"{line.endpoints['PINECONE_CONTROLLER_HOST']}/indexes/{name}", headers=self._headers).json()
        self._url = f"http://{about['host'].removeprefix(HTTP)}/vectors"

    def post(self, path: str, **body: Any) -> None:
        answer = httpx.post(f"{self._url}/{path}", json=body, headers=self._headers, timeout=30)
        assert answer.is_success, answer.text

    def copy(self, ids: list[str], namespace: str, *to: str, **changes: Any) -> None:
        """Records into other namespaces, with some metadata changed."""
        for start in range(0, len(ids), 100):
            asked: Any = {"ids": ids[start : start + 100], "namespace": namespace}
            found = httpx.get(f"{self._url}/fetch", params=asked, headers=self._headers, timeout=30).json()["vectors"]
            for each in to:
                vectors = [
                    {"id": name, "values": record["values"], "metadata": record["metadata"] | changes}
                    for name, record in found.items()
                ]
                self.post("upsert", vectors=vectors, namespace=each)


def drift(stranger: Stranger, before: dict[str, dict[str, Any]]) -> None:
    other = [1.0] + [0.0] * 1_535
    stranger.post("delete", ids=["232.i1", "232.i2", "232.i3"], namespace="drifted")
    stranger.post("update", id="232.i10", setMetadata={"price": 99.0}, namespace="drifted")
    vectors = [
        {"id": "232.i20", "values": other, "metadata": before["232.i20"]["metadata"]},
        {"id": "232.stranger", "values": other, "metadata": {"text": "Not ours"}},
    ]
    stranger.post("upsert", vectors=vectors, namespace="drifted")


@pytest.fixture(scope="module")
def scene(line: Line) -> Scene:
    """Loads, then what others do, then verifies and adoptions, then repair and the loads after adoptions."""
    content, filled = csvs.of(csvs.rows(ROWS)), csvs.of(csvs.rows(ADOPTED))
    loads = [line.upload(content, namespace=name) for name in ("clean", "drifted")]
    loads.append(line.upload(filled, namespace="filled", **LEGACY))
    for task_id in loads:
        assert line.finished(task_id)["status"] == "completed"
    before, stranger = line.index("drifted"), Stranger(line)
    drift(stranger, before)
    ids = list(line.index("filled"))
    stranger.copy(ids, "filled", "taken", processed_at=LONG_AGO)
    stranger.copy(ids, "filled", "lately")
    stranger.copy(ids, "filled", "foreign", processed_at=LONG_AGO)
    wrong = {"id": "232.i7", "values": [1.0] + [0.0] * 1_535, "metadata": line.index("foreign")["232.i7"]["metadata"]}
    stranger.post("upsert", vectors=[wrong], namespace="foreign")
    price = asked(line, "verify", namespace="clean", sample=50, dry_run=True)

    adoptions = {name: begun(line, "adopt", namespace=name, sample=ADOPTED) for name in ("taken", "lately", "foreign")}
    over = {name: line.finished(task_id, 180) for name, task_id in adoptions.items()}
    drifted = begun(line, "verify", namespace="drifted", sample=ROWS, fetch=ROWS, repair=True)
    clean = begun(line, "verify", namespace="clean", sample=50)
    again = {name: line.upload(filled, namespace=name, **LEGACY) for name in adoptions}
    found = line.finished(drifted, 180)
    assert found["status"] == "completed", found
    repair = line.finished(found["result"]["repair_task_id"], 180)
    return Scene(
        before=before,
        price=price,
        clean=line.finished(clean, 180),
        drifted=found,
        repair=repair,
        after=line.index("drifted"),
        adopted=over.pop("taken"),
        refused=over,
        loaded={name: line.finished(task_id, 180) for name, task_id in again.items()},
    )


def test_a_price_comes_first_and_nothing_is_done(scene: Scene) -> None:
    assert scene.price.status_code == 200, scene.price.text
    told = scene.price.json()
    assert (told["forecast"]["fetched"], told["forecast"]["sampled"], told["task_id"]) == (1_000, 50, "")
    assert told["forecast"]["bill"]["tokens"] > 0


def test_an_index_that_is_as_it_was_written_is_found_so(line: Line, scene: Scene) -> None:
    task = scene.clean
    result = task["result"]
    assert (task["status"], task["metadata"]["task_type"]) == ("completed", "verify")
    assert [result[name] for name in ("listed", "known", "missing", "strange", "differing")] == [ROWS, ROWS, 0, 0, 0]
    assert (result["sampled"], result["fetched"]) == (50, 1_000)
    assert task["progress"]["processed_records"] == task["progress"]["total_records"] == ROWS
    assert (task["bill"]["texts_bought"], task["bill"]["write_units"]) == (50, 0)
    assert line.rejects(task["task_id"]) == []
    assert task["task_id"] in {each["task_id"] for each in line.rest.get("/api/v1/tasks?task_type=verify").json()}


def test_what_others_deleted_wrote_and_changed_is_found_and_told_by_id(line: Line, scene: Scene) -> None:
    result = scene.drifted["result"]
    assert [result[name] for name in ("missing", "strange", "differing")] == [3, 1, 2]
    assert {each["id"]: each["reason"] for each in line.rejects(scene.drifted["task_id"])} == {
        **dict.fromkeys(("232.i1", "232.i2", "232.i3"), "missing"),
        **dict.fromkeys(("232.i10", "232.i20"), "differing"),
        "232.stranger": "strange",
    }
    csv = line.rest.get(f"/api/v1/status/{scene.drifted['task_id']}/rejects").text
    assert csv.splitlines()[0] == "id,row_number,line_number,reason,message,line_text"


def test_a_repair_buys_only_that_and_the_index_is_as_before(scene: Scene) -> None:
    assert scene.repair["status"] == "completed"
    assert (scene.repair["result"]["indexed"], scene.repair["result"]["unchanged"]) == (5, ROWS - 5)
    assert scene.repair["bill"]["texts_bought"] == 5
    after = dict(scene.after)
    del after["232.stranger"]
    assert {name: each["sha256"] for name, each in after.items()} == {
        name: each["sha256"] for name, each in scene.before.items()
    }
    assert after["232.i10"]["metadata"]["price"] == scene.before["232.i10"]["metadata"]["price"]


def test_what_the_predecessor_filled_is_adopted_and_the_same_file_skips_it(scene: Scene) -> None:
    result = scene.adopted["result"]
    assert scene.adopted["status"] == "completed", scene.adopted
    assert [result[name] for name in ("listed", "known", "unknown", "sampled")] == [ADOPTED, ADOPTED, 0, ADOPTED]
    assert scene.adopted["metadata"]["task_type"] == "adopt"
    load = scene.loaded["taken"]
    assert (load["result"]["unchanged"], load["result"]["indexed"]) == (ADOPTED, 0)
    assert (load["bill"]["texts_bought"], load["bill"]["write_units"]) == (0, 0)


@pytest.mark.parametrize(("namespace", "reason"), [("lately", "WRITTEN_LATELY"), ("foreign", "ADOPT_DISAGREES")])
def test_what_cannot_be_believed_is_not_adopted_and_is_bought(scene: Scene, namespace: str, reason: str) -> None:
    assert (scene.refused[namespace]["status"], scene.refused[namespace]["error_reason"]) == ("failed", reason)
    assert (scene.loaded[namespace]["result"]["unchanged"], scene.loaded[namespace]["result"]["indexed"]) == (
        0,
        ADOPTED,
    )


def test_what_is_known_is_not_adopted(line: Line, scene: Scene) -> None:
    answer = asked(line, "adopt", namespace="clean")

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (409, "ALREADY_KNOWN")


def test_a_verify_is_no_load_to_be_retried(line: Line, scene: Scene) -> None:
    refused = line.rest.post(f"/api/v1/task/{scene.drifted['task_id']}/retry", params={"all": "true"})

    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (409, "NOTHING_TO_RETRY")


@pytest.mark.parametrize(
    ("what", "body", "fields"),
    [
        ("verify", {"question_id": None}, {"question_id"}),
        (
            "verify",
            {"question_id": -1, "sample": 20_000, "namespace": "Zürich"},
            {"question_id", "sample", "namespace"},
        ),
        ("adopt", {"question_id": None, "sample": 0}, {"question_id", "sample"}),
    ],
)
def test_a_bad_request_names_every_field(line: Line, what: str, body: dict[str, Any], fields: set[str]) -> None:
    answer = asked(line, what, **body)

    violations = next(each for each in answer.json()["details"] if each["@type"].endswith("BadRequest"))
    assert answer.status_code == 400
    assert {each["field"] for each in violations["field_violations"]} == fields


def test_of_what_nothing_is_known_there_is_nothing_to_verify(line: Line) -> None:
    answer = asked(line, "verify", namespace="never-loaded")

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (409, "NOTHING_KNOWN")

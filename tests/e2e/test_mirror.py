"""A mirror on the real parts: what left its file leaves the index, once a person agrees where that is much."""

from typing import Any

import httpx

from tests.support import csvs
from tests.support.line import Line, wait_for

SPACE = "mirrored"


def numbers(line: Line) -> set[str]:
    return {name.removeprefix("232.") for name in line.index(SPACE)}


def billed(line: Line, namespace: str, unit: str = "write_units") -> float:
    """Units that the stand-in for Pinecone has billed for a namespace."""
    url = f"{line.endpoints['PINECONE_CONTROLLER_HOST']}/_sandbox/requests"
    calls = httpx.get(url, params={"limit": 100_000}, timeout=60).json()["requests"]
    return float(sum(call[unit] for call in calls if call["namespace"] == namespace))


def holds(bill: dict[str, Any], truth: float) -> bool:
    """Whether write units are within 2 % of a bill's, or of its range: Pinecone does not tell what a delete cost."""
    most = bill.get("at_most", bill)["write_units"]
    return bool(bill["write_units"] * 0.98 <= truth <= most * 1.02)


def test_what_left_the_file_leaves_the_index(line: Line) -> None:
    rows = csvs.rows(1_200)
    line.finished(line.upload(csvs.of(rows), namespace=SPACE))

    # Most of it is gone, and one row has lost its text: a person is asked, and what the index has of that row stays.
    shorter = [(rows[0][0], "", *rows[0][2:]), *rows[1:100]]
    asked = {"question_id": 232, "namespace": SPACE, "mode": "mirror", "estimate": True}

    def estimated() -> dict[str, Any] | None:
        """Once the load is merged into what is known."""
        found = line.rest.post("/api/v1/upload/a.csv", params=asked, content=csvs.of(shorter)).json()["estimate"]
        return found if "removed" in found else None

    estimate = wait_for("a merge", estimated)
    assert (estimate["removed"], estimate["unchanged"], estimate["usable"]) == (1_100, 99, 0)
    written, read = billed(line, SPACE), billed(line, SPACE, "read_units")
    task_id = line.upload(csvs.of(shorter), namespace=SPACE, mode="mirror")
    told: dict[str, Any] = wait_for("a held mirror", lambda: line.task(task_id).get("held"), 90)
    assert (told["gone"], told["entries"]) == (1_100, 1_200)
    listed = line.rest.get(f"/api/v1/status/{task_id}/rejects", params={"include": "gone"}).text.split()
    assert (listed[0], set(listed[1:])) == ("vector_id", {f"232.{row[0]}" for row in rows[100:]})
    assert line.rest.post(f"/api/v1/task/{task_id}/retry").status_code == 409
    confirm = f"/api/v1/task/{task_id}/confirm"
    assert "MIRROR_CHANGED" in line.rest.post(confirm, json={"checksum": "old"}).text
    assert len(numbers(line)) == 1_200

    assert line.rest.post(confirm, json={"checksum": told["checksum"]}).status_code == 202
    done = line.finished(task_id)
    assert (done["status"], done["progress"]["removed_records"]) == ("partially_completed", 1_100)
    assert [each["code"] for each in done["warnings"]] == ["mirror_kept"]
    assert "MIRROR_NOT_HELD" in line.rest.post(confirm, json={"checksum": "old"}).text
    assert numbers(line) == {row[0] for row in rows[:100]}
    written, read = billed(line, SPACE) - written, billed(line, SPACE, "read_units") - read
    assert holds(done["bill"], written), (done["bill"], written)
    assert holds(estimate["bill"], written), (estimate["bill"], written)
    assert done["bill"]["at_most"]["write_units"] < 1.3 * done["bill"]["write_units"], "the range is no excuse"
    assert done["bill"]["read_units"] == estimate["bill"]["read_units"] == read

    # What was removed is known to be gone: it is bought again, and the rest is not.
    again = line.finished(line.upload(csvs.of(rows[:150]), namespace=SPACE))["progress"]
    assert (again["unchanged_records"], again["processed_records"]) == (100, 50)


def test_a_load_is_taken_back_and_the_next_one_buys_all_of_it_again(line: Line) -> None:
    space, content, few = "taken-back", csvs.of(csvs.rows(1_200)), csvs.of(csvs.rows(300))
    loaded, alone = line.upload(content, namespace=space), line.upload(few, namespace="alone")
    line.finished(loaded)
    line.finished(line.upload(csvs.of(csvs.rows(20)), namespace=space, question_id=23))
    line.finished(alone)

    def asked(**body: Any) -> httpx.Response:
        return line.rest.post("/api/v1/remove", json=body)

    def merged(removed: int, **body: Any) -> dict[str, Any]:
        def forecast() -> dict[str, Any] | None:
            priced = asked(**body)
            assert priced.status_code in (200, 409), priced.text
            found: dict[str, Any] = priced.json().get("forecast", {})
            plain = found.get("removed") == removed and not found["ids"]
            return found if plain and "other loads" not in found["why_not_dropped"] else None

        return wait_for("a merged load", forecast, 60)

    priced = forecast = merged(1_200, namespace=space, question_id=232)
    assert forecast["bill"]["write_units"] >= 1_200 * 4
    assert (forecast["drops_namespace"], "20 vectors" in forecast["why_not_dropped"]) == (False, True)
    # A namespace that one load wrote, and nobody else: that is taken back by its id, and the namespace with it.
    forecast = merged(300, task_id=alone)
    assert (forecast["drops_namespace"], forecast["bill"]["write_units"]) == (True, 5)
    before = {name: billed(line, name) for name in (space, "alone")}
    assert len(line.index(space)) == 1_220, "a dry run, which is the default, does nothing"

    request = {"task_id": alone, "dry_run": False, "request_id": "back"}
    back = asked(**request).json()["task_id"]
    answer = asked(namespace=space, question_id=232, dry_run=False)
    assert answer.status_code == 202, answer.text
    done = line.finished(answer.json()["task_id"])
    assert (done["status"], done["metadata"]["task_type"]) == ("completed", "remove")
    assert (done["progress"]["removed_records"], done["result"]["removed"]) == (1_200, 1_200)
    assert (done["result"]["namespace_dropped"], "20 vectors" in done["result"]["why_not_dropped"]) == (False, True)
    written = billed(line, space) - before[space]
    assert holds(done["bill"], written), (done["bill"], written)
    assert holds(priced["bill"], written), (priced["bill"], written)
    assert {name.partition(".")[0] for name in line.index(space)} == {"23"}, "another question's vectors stay"
    gone = line.rest.get(f"/api/v1/status/{done['task_id']}/rejects", params={"include": "gone"}).text.split()
    assert len(gone) == 1_201
    assert "SUPERSEDED" in asked(task_id=loaded).text

    again = line.upload(content, namespace=space)
    done = line.finished(back)
    assert asked(**request).json()["task_id"] == back, "the same key answers the same task"
    assert (done["status"], done["progress"]["removed_records"]) == ("completed", 300), done
    assert (done["result"]["namespace_dropped"], done["bill"]["write_units"]) == (True, 5)
    assert "at_most" not in done["bill"]
    assert billed(line, "alone") - before["alone"] == 5
    assert not line.index("alone")

    # Whoever writes there next waits until nothing of the drop can arrive any more, and is not lost.
    beside = line.upload(csvs.of(csvs.rows(30)), namespace="alone", question_id=23)
    told = line.finished(again)["progress"]
    assert (told["processed_records"], told.get("unchanged_records", 0)) == (1_200, 0)
    assert line.finished(beside)["progress"]["processed_records"] == len(line.index("alone")) == 30

"""A mirror on the real parts: what left its file leaves the index, once a person agrees where that is much."""

from typing import Any

import httpx

from tests.support import csvs
from tests.support.line import Line, wait_for

SPACE = "mirrored"


def numbers(line: Line) -> set[str]:
    return {name.removeprefix("232.") for name in line.index(SPACE)}


def test_what_left_the_file_leaves_the_index(line: Line) -> None:
    rows = csvs.rows(1_200)
    line.finished(line.upload(csvs.of(rows), namespace=SPACE))

    # Most of it is gone, and one row has lost its text: a person is asked, and what the index has of that row stays.
    shorter = [(rows[0][0], "", *rows[0][2:]), *rows[1:100]]
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

    # What was removed is known to be gone: it is bought again, and the rest is not.
    again = line.finished(line.upload(csvs.of(rows[:150]), namespace=SPACE))["progress"]
    assert (again["unchanged_records"], again["processed_records"]) == (100, 50)


def test_a_load_is_taken_back_and_the_next_one_buys_all_of_it_again(line: Line) -> None:
    space, content = "taken-back", csvs.of(csvs.rows(1_200))
    loaded = line.upload(content, namespace=space)
    line.finished(loaded)
    line.finished(line.upload(csvs.of(csvs.rows(20)), namespace=space, question_id=23))

    def asked(**body: Any) -> httpx.Response:
        return line.rest.post("/api/v1/remove", json=body)

    def merged() -> dict[str, Any] | None:
        priced = asked(namespace=space, question_id=232)
        assert priced.status_code == 200, priced.text
        forecast: dict[str, Any] = priced.json()["forecast"]
        return forecast if forecast["removed"] == 1_200 else None

    forecast = wait_for("a merged load", merged, 60)
    assert forecast["bill"]["write_units"] >= 1_200 * 4
    assert len(line.index(space)) == 1_220, "a dry run, which is the default, does nothing"

    answer = asked(namespace=space, question_id=232, dry_run=False)
    assert answer.status_code == 202, answer.text
    done = line.finished(answer.json()["task_id"])
    assert (done["status"], done["metadata"]["task_type"]) == ("completed", "remove")
    assert (done["progress"]["removed_records"], done["result"]["removed"]) == (1_200, 1_200)
    assert done["bill"]["at_most"]["write_units"] >= done["bill"]["write_units"] > 0
    assert {name.partition(".")[0] for name in line.index(space)} == {"23"}, "another question's vectors stay"
    gone = line.rest.get(f"/api/v1/status/{done['task_id']}/rejects", params={"include": "gone"}).text.split()
    assert len(gone) == 1_201
    assert "SUPERSEDED" in asked(task_id=loaded).text

    told = line.finished(line.upload(content, namespace=space))["progress"]
    assert (told["processed_records"], told.get("unchanged_records", 0)) == (1_200, 0)

    # Of a namespace that one load wrote: that, by its id.
    alone = line.upload(csvs.of(csvs.rows(300)), namespace="alone")
    line.finished(alone)
    request = {"task_id": alone, "dry_run": False, "request_id": "back"}
    done = line.finished(asked(**request).json()["task_id"])
    assert asked(**request).json()["task_id"] == done["task_id"], "the same key answers the same task"
    assert (done["status"], done["progress"]["removed_records"]) == ("completed", 300), done
    assert not line.index("alone")

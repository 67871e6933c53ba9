"""A mirror on the real parts: what left its file leaves the index, once a person agrees where that is much."""

from typing import Any

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

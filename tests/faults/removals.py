"""Deletes: whoever begins them, or does them, dies; what was to go is gone, nothing else, and all accounts say so."""

from collections.abc import Callable, Sequence

import httpx

from tests.faults import manifests
from tests.faults.cells import Cell
from tests.faults.scene import QUESTION, Job, Scene, expected_of
from tests.support import csvs
from tests.support.line import wait_for

ROWS, GONE = 600, 60
# So many go that they are more deletes than are under way at once: 1,000 ids each, four at a time.
MANY, FEW = 5_500, 300
# Another question's rows, which stay.
OTHER, OTHERS = 23, 20
# Pinecone rounds the size of each call up, our bill that of a whole chunk.
CLOSE = 0.02


def mirrored(rule: str, *, rows: int = ROWS, left: int = ROWS - GONE, untold: bool = False) -> Callable[[Scene], None]:
    """The rule fires while a mirror removes what left its file; where that is much, a person has confirmed it."""

    def act(scene: Scene) -> None:
        before = loaded(scene, rows)
        after = manifests.later(before[:left])
        scene.arm(rule)
        job = scene.submit(after, mode="mirror")
        job.unchanged, job.removes, job.removed = manifests.same(before, after), True, rows - left
        if (rows - left) * 5 > rows:
            _confirm(scene, job)
        scene.fired()
        _finish(scene, job, untold=untold)
        manifests.second_load(scene, after, left)

    return act


def removed(rule: str, *, rows: int = ROWS, untold: bool = False, alone: bool = False) -> Callable[[Scene], None]:
    """The rule fires while a question is taken back: id by id, or `alone` in its namespace, which is dropped."""

    def act(scene: Scene) -> None:
        loaded(scene, rows)
        if not alone:
            scene.finish(scene.submit(csvs.rows(OTHERS, MANY + 1), question_id=OTHER))  # with texts of their own
        scene.arm(rule)
        body = {"namespace": scene.namespace, "question_id": QUESTION, "dry_run": False, "request_id": scene.namespace}

        def taken() -> str:
            answer = scene.line.rest.post("/api/v1/remove", json=body)
            assert answer.status_code in (202, 503, 504), answer.text
            return str(answer.json()["task_id"]) if answer.status_code == 202 else ""

        job = scene.watch(wait_for("the removal is taken", taken, 60), [])
        job.removes, job.removed = True, rows
        scene.fired()
        _finish(scene, job, untold=untold)

    return act


def loaded(scene: Scene, count: int) -> manifests.Rows:
    """Rows that are in, without a flaw, and merged into what is known."""
    rows: manifests.Rows = list(csvs.rows(count))
    scene.finish(scene.submit(rows))
    manifests.merged(scene, 2)
    return rows


def _confirm(scene: Scene, job: Job) -> None:
    """As a person does who looked at what is told: again while nobody answers."""
    told = wait_for("a held mirror", lambda: job.status == "blocked" and job.seen[-1][1].get("held"), 60)
    assert told["gone"] == job.removed, told

    def confirmed() -> bool:
        try:
            path = f"/api/v1/task/{job.task_id}/confirm"
            answer = scene.line.rest.post(path, json={"checksum": told["checksum"]})
        except httpx.TransportError:
            return False
        assert answer.status_code in (202, 503, 504), answer.text
        return answer.status_code == 202

    wait_for("the confirmation", confirmed, 60)


def _finish(scene: Scene, job: Job, *, untold: bool) -> None:
    """It removed what it had to; the manifest knows what is left, and the bill holds what was paid.

    `untold`: whoever paid for a delete died before it told anybody; when it is done again nothing is there that would
    tell its price. The bill is then no more than what was paid.
    """
    scene.finish(job)
    manifests.merged(scene, 3)
    item = manifests.manifest(scene)
    left = len(expected_of(job.rows, {}).vectors)
    assert (int(item["known"]), int(item["unknown"])) == (left, 0), item
    tasks = [each.task_id for each in scene.jobs]
    wait_for("a bill that holds what was paid", lambda: _billed(scene, tasks, untold=untold), 30)


def _billed(scene: Scene, tasks: Sequence[str], *, untold: bool) -> bool:
    """Whether the index's own bill lies within what the tasks' say together."""
    url = f"{scene.stage.pinecone_url}/_sandbox/requests"
    calls = scene.stage.http.get(url, params={"limit": 100_000}).json()["requests"]
    paid = sum(call["write_units"] for call in calls if call["namespace"] == scene.namespace)
    bills = [scene.line.task(task_id)["bill"] for task_id in tasks]
    least = sum(bill["write_units"] for bill in bills)
    most = sum(bill.get("at_most", bill)["write_units"] for bill in bills)
    return bool(least * (1 - CLOSE) <= paid and (untold or paid <= most * (1 + CLOSE)))


AFTER = "indexer.after_delete:kill"
CELLS = [
    Cell("mirror: ingest killed before it is held", mirrored("ingest.before_hold:kill", left=FEW)),
    Cell("mirror: ingest killed before the deletes", mirrored("ingest.before_removal:kill")),
    Cell("mirror: ingest killed in mid deletes", mirrored("ingest.mid_removal:kill", rows=MANY, left=FEW)),
    Cell("mirror: indexer killed before a delete", mirrored("indexer.before_delete:kill")),
    Cell("mirror: indexer killed after a delete, before it is settled", mirrored(AFTER, untold=True)),
    Cell("removal: ingest killed before the deletes", removed("ingest.before_removal:kill")),
    Cell("removal: ingest killed in mid deletes", removed("ingest.mid_removal:kill", rows=MANY)),
    Cell("removal: indexer killed before a delete", removed("indexer.before_delete:kill")),
    Cell("removal: indexer killed after a delete, before it is settled", removed(AFTER, untold=True)),
    Cell("namespace dropped: ingest killed before it", removed("ingest.before_drop:kill", alone=True)),
    Cell("namespace dropped: ingest killed once it is to be", removed("ingest.mid_drop:kill", alone=True)),
    Cell("namespace dropped: ingest killed after it", removed("ingest.after_drop:kill", alone=True)),
    Cell("namespace dropped: indexer killed before it", removed("indexer.before_drop:kill", alone=True)),
    Cell("namespace dropped: indexer killed after it", removed("indexer.after_drop:kill", alone=True)),
]

"""Second loads: whoever keeps the account of what is in the index dies, or what was kept is harmed, or the index is."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.faults.cells import Cell
from tests.faults.scene import QUESTION, Job, Scene, expected_of, rows_with_flaws
from tests.support import proxy
from tests.support.line import wait_for

ROWS = 600
CHANGED_EACH = 20
Rows = list[tuple[str, ...]]


def later(rows: Rows) -> Rows:
    """The same rows a day later: one in twenty has another text."""
    return [
        (id_, f"{text} Now." if text.strip() and number % CHANGED_EACH == 1 else text, *rest)
        for number, (id_, text, *rest) in enumerate(rows)
    ]


def same(before: Rows, after: Rows) -> int:
    """Rows that are in the index as they should be."""
    old, new = expected_of(before, {}).vectors, expected_of(after, {}).vectors
    return sum(old.get(id_) == vector for id_, vector in new.items())


def manifest(scene: Scene) -> dict[str, Any]:
    """The item of what the scene writes to."""
    found = [
        item
        for item in scene.stage.ledger().values()
        if item.get("kind") == "manifest" and item["namespace"] == scene.namespace and item["question"] == str(QUESTION)
    ]
    return found[0] if found else {}


def merged(scene: Scene, version: int) -> None:
    """Until so many versions of the manifest were made."""

    def is_merged() -> bool:
        found = manifest(scene)
        return bool(found) and "pending_task" not in found and found["version"] >= version and "uri" in found

    wait_for("the merge", is_merged, 60)


def first_load(scene: Scene) -> Rows:
    """A load that is over; its run is pending."""
    rows = rows_with_flaws(ROWS)
    scene.finish(scene.submit(rows))
    return rows


def second_load(scene: Scene, rows: Rows, unchanged: int, within: float = 60) -> Job:
    """A load of these rows, of which so many are to be skipped."""
    job = scene.submit(rows)
    job.unchanged = unchanged
    scene.finish(job, within=within)
    return job


def killed(rule: str) -> Callable[[Scene], None]:
    """The rule fires while a second load is under way."""

    def act(scene: Scene) -> None:
        rows = first_load(scene)
        changed = later(rows)
        merged(scene, 2)
        scene.arm(rule)
        job = scene.submit(changed)
        job.unchanged = same(rows, changed)
        scene.fired()
        scene.finish(job)
        merged(scene, 3)
        second_load(scene, changed, len(expected_of(changed, {}).vectors))

    return act


def killed_first(rule: str) -> Callable[[Scene], None]:
    """The rule fires while the first load travels, or is merged: the second knows all of it nevertheless."""

    def act(scene: Scene) -> None:
        scene.arm(rule)
        rows = first_load(scene)
        scene.fired()
        merged(scene, 2)
        changed = later(rows)
        second_load(scene, changed, same(rows, changed))

    return act


def dropped(scene: Scene) -> None:
    """Somebody deletes all records of the namespace: everything is bought again, though the manifest knows it all."""
    rows = first_load(scene)
    merged(scene, 2)
    with scene.fault():
        index = scene.line.endpoints["PINECONE_INDEX_NAME"]
        key = {"Api-Key": scene.line.endpoints.get("PINECONE_API_KEY", "sandbox")}
        host = httpx.get(f"{scene.stage.pinecone_url}/indexes/{index}", headers=key).json()["host"]
        url = f"{host if '://' in host else f'http://{host}'}/vectors/delete"
        httpx.post(url, json={"deleteAll": True, "namespace": scene.namespace}, headers=key).raise_for_status()
    second_load(scene, rows, 0)


def harmed(harm: Callable[[Scene, str], None]) -> Callable[[Scene], None]:
    """A segment is no more what was written: nothing of the manifest is believed, and the task says so."""

    def act(scene: Scene) -> None:
        rows = first_load(scene)
        merged(scene, 2)
        with scene.fault():
            harm(scene, entries(scene, "2-"))
        job = second_load(scene, rows, 0)
        codes = [each["code"] for each in scene.line.task(job.task_id)["warnings"]]
        assert "manifest_distrusted" in codes, codes

    return act


def entries(scene: Scene, version: str) -> str:
    """The object of a version's entries."""
    pages = scene.line.s3().get_paginator("list_objects_v2").paginate(Bucket="vectorline", Prefix="manifests/")
    names = [each["Key"] for page in pages for each in page.get("Contents", [])]
    wanted = f"/{scene.namespace}/{QUESTION}/{version}"
    (found,) = [name for name in names if wanted in name and name.endswith(".entries") and "segment-" in name]
    return found


def truncate(scene: Scene, name: str) -> None:
    client = scene.line.s3()
    body = client.get_object(Bucket="vectorline", Key=name)["Body"].read()
    client.put_object(Bucket="vectorline", Key=name, Body=body[:-40])


def remove(scene: Scene, name: str) -> None:
    scene.line.s3().delete_object(Bucket="vectorline", Key=name)


def of_another_version(scene: Scene) -> None:
    """The entries of the version before lie under the name of the present ones."""
    rows = first_load(scene)
    merged(scene, 2)
    old = entries(scene, "2-")
    changed = [(id_, text and f"{text} Now.", *rest) for id_, text, *rest in rows]
    second_load(scene, changed, 0)
    merged(scene, 3)
    with scene.fault():
        client = scene.line.s3()
        body = client.get_object(Bucket="vectorline", Key=old)["Body"].read()
        client.put_object(Bucket="vectorline", Key=entries(scene, "3-"), Body=body)
    job = second_load(scene, changed, 0)
    assert "manifest_distrusted" in [each["code"] for each in scene.line.task(job.task_id)["warnings"]]


def s3_away_during_the_merge(scene: Scene) -> None:
    """The second load has its turn and waits, says so, and goes on as soon as S3 does."""
    with scene.fault(), scene.stage.aws_proxy.toxic(proxy.Kind.RESET, match=b"/segment-") as toxic:
        rows = first_load(scene)
        changed = later(rows)
        job = scene.submit(changed)
        job.unchanged = same(rows, changed)

        def said() -> bool:
            return "object store" in scene.line.task(job.task_id).get("stalled_reason", "")

        wait_for("the status says that S3 is waited for", said, 60)
        assert toxic.fired
        assert job.status in ("queued", "processing")
    scene.finish(job)


CELLS = [
    Cell("second load: ingest killed before the mark", killed("ingest.before_mark:kill")),
    Cell("second load: ingest killed after the mark", killed("ingest.after_mark:kill"), fast=True),
    Cell("first load: ingest killed when rows are written down", killed_first("ingest.after_write_ahead:kill@2")),
    Cell("ingest killed in mid merge", killed_first("ingest.mid_merge:kill")),
    Cell("ingest killed between merge and commit", killed_first("ingest.before_commit:kill")),
    Cell("ingest killed after the commit", killed_first("ingest.after_commit:kill")),
    Cell("second load: the namespace was dropped behind our back", dropped, twice=ROWS),
    Cell("second load: a segment of the manifest is truncated", harmed(truncate), twice=ROWS),
    Cell("second load: a segment of the manifest is missing", harmed(remove), twice=ROWS),
    Cell("second load: a segment of another version", of_another_version, twice=ROWS),
    Cell("second load: S3 away during the merge", s3_away_during_the_merge),
]

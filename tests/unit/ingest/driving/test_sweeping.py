"""What nothing names goes after a day, in all its versions; everything else stays."""

import datetime
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest

from services.chunks import memory_store
from services.ingest import ledger_client, manifest_client
from services.ingest.driving import sweeping
from services.ingest.manifest import header, parts, store

BUCKET = "vectorline"
FOLDER = store.folder_of("idx", "v 2", "7")
DAY = datetime.timedelta(days=1)


class Manifests:
    """The ledger's items: one manifest, and what tasks were compared with."""

    def __init__(self) -> None:
        self.found = manifest_client.Manifest(key="manifest", version=3, index="idx", namespace="v 2", question_id="7")
        self.kept: dict[str, str] = {}
        self.pending = ""

    async def about(self, namespace: str, question_id: int | None) -> manifest_client.Manifest:
        return self.found if (namespace, question_id) == ("v 2", 7) else manifest_client.Manifest()

    async def of_task(self, task_id: str) -> manifest_client.Manifest:
        found = manifest_client.Manifest()
        if task_id in self.kept:
            found.comparison.uri = self.kept[task_id]
        if self.pending:
            found.pending.uri = self.pending
        return found


class Ledger:
    """Tasks by their status."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}

    async def get(self, task_id: str) -> ledger_client.Record:
        if task_id not in self.statuses:
            raise ledger_client.LedgerRefused("no such task")
        return ledger_client.Record(task_id=task_id, status=self.statuses[task_id])


class Scene:
    """A versioned bucket, and all that names what is in it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.manifests, self.ledger = Manifests(), Ledger()
        self.objects = store.Store(client, BUCKET)

    def put(self, *names: str) -> None:
        for name in names:
            self.client.put_object(Bucket=BUCKET, Key=name, Body=name.encode())

    def name(self, *layers: str) -> None:
        """The manifest's header, of version 3, which names segments."""
        made = [parts.Part(1, f"{each}.entries", "", f"{each}.ids", 1, "") for each in layers]
        data = header.Header(3, "rules", "small", 2, "host", 1, 0, tuple((part,) for part in made)).to_json()
        uri = f"{FOLDER}3-a/header"
        self.client.put_object(Bucket=BUCKET, Key=uri, Body=data)
        self.manifests.found.uri, self.manifests.found.checksum = uri, store.checksum_of(data)

    async def sweep(self, after: datetime.timedelta = 2 * DAY) -> set[str]:
        """What is left, in any version."""
        parts_: Any = (self.ledger, self.manifests)
        now = datetime.datetime.now(datetime.UTC) + after
        await sweeping.Sweeper(*parts_, self.objects, queue=memory_store.MemoryStore(), now=lambda: now).round()
        return {each.name.removeprefix(FOLDER) for each in self.objects.versions("")}


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with moto.mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield Scene(client)


async def test_versions_that_were_followed_or_lost_their_race_go(scene: Scene) -> None:
    segments = [f"{FOLDER}{version}/segment-00000" for version in ("2-x", "3-a", "3-lost")]
    scene.put(*(f"{each}.{kind}" for each in segments for kind in ("entries", "ids")), f"{FOLDER}2-x/header")
    scene.name(*segments[:2])
    scene.client.delete_object(Bucket=BUCKET, Key=f"{segments[2]}.ids")  # by hand: two versions are left of it
    scene.put("uploads/a.csv", "manifests/elsewhere/v2/7/1-a/header")

    left = await scene.sweep()

    kept = {f"{name}/segment-00000.{kind}" for name in ("2-x", "3-a") for kind in ("entries", "ids")}
    assert left == {*kept, "3-a/header", "uploads/a.csv", "manifests/elsewhere/v2/7/1-a/header"}


async def test_nothing_younger_than_a_day_goes(scene: Scene) -> None:
    scene.put(f"{FOLDER}3-lost/header")
    scene.name()
    assert await scene.sweep(DAY / 2) == {"3-lost/header", "3-a/header"}


async def test_a_manifest_that_cannot_be_read_is_left_alone(scene: Scene) -> None:
    scene.name()
    scene.manifests.found.checksum = "other"
    scene.put(f"{FOLDER}2-x/header")
    assert await scene.sweep() == {"2-x/header", "3-a/header"}


OUTCOME, SENT = "outcome", "sent-00000.entries"


@pytest.mark.parametrize(
    ("status", "kept", "pending", "left"),
    [
        ("processing_chunks", True, False, {OUTCOME, SENT}),
        ("blocked", True, False, {OUTCOME, SENT}),
        ("completed", True, True, {OUTCOME, SENT}),
        ("completed", True, False, {OUTCOME}),  # rejects are told by it, for as long as there is the task
        ("completed", False, False, set()),  # another was kept to
        ("processing", False, False, set()),
        ("", False, False, set()),  # no such task
    ],
)
async def test_of_a_comparison_stays_what_its_task_or_its_merge_needs(
    scene: Scene, status: str, kept: bool, pending: bool, left: set[str]
) -> None:
    task, name = "39f5c88e-2d94-428b-b64b-a4fd98e616ec", "of-39f5c88e-2d94-428b-b64b-a4fd98e616ec-12-6b9ee2b31850f2ab"
    scene.name()
    scene.put(f"{FOLDER}{name}/{OUTCOME}", f"{FOLDER}{name}/{SENT}")
    if status:
        scene.ledger.statuses[task] = status
    if kept:
        scene.manifests.kept[task] = f"{FOLDER}{name}/{OUTCOME}"
    if pending:
        scene.manifests.pending = f"{FOLDER}{name}/{OUTCOME}"

    assert await scene.sweep() == {"3-a/header", *(f"{name}/{each}" for each in left)}

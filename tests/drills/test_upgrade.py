"""The release before and this one beside each other on one queue, one table and one index; forward, and back.

Two whole lines share Valkey, AWS, OpenAI and Pinecone: so each embedder takes chunks that either ingest cut, each
resubmitter reads either plan, and each indexer writes the ledger of both (what is in an entry, a plan and an item).
"""

import os
import pathlib
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator

import pytest

from tests.faults import scene as scenes
from tests.faults import stage as stages
from tests.support import line as lines

pytestmark = pytest.mark.timeout(900)

# The release before, as git knows it.
PREVIOUS = os.environ.get("PREVIOUS", "152d3a8")
ROWS = 4_000


class Previous(lines.Line):
    """A line of another tree of sources."""

    def __init__(self, tree: pathlib.Path, folder: pathlib.Path, settings: dict[str, str]) -> None:
        super().__init__(folder, settings)
        self.root = tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The sources of the release before, with its messages built."""
    folder = tmp_path_factory.mktemp("previous")
    archive = folder / "previous.tar"
    made = subprocess.run(
        ["git", "archive", "--output", archive, PREVIOUS], cwd=lines.ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"git has no {PREVIOUS} here (a shallow clone?): fetch it, or name another by PREVIOUS=")
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "tree", filter="data")
    told = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"}  # protoc's plugins are there
    built = [sys.executable, "protos/build.py"]
    subprocess.run(built, cwd=folder / "tree", env=told, check=True, capture_output=True)
    return folder / "tree"


@pytest.fixture
def previous(stage: stages.Stage, tree: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Previous]:
    settings = {**stage.line.settings, "PYTHONPATH": f"{tree}:{tree / 'build' / 'protos'}"}
    line = Previous(tree, tmp_path / "line", settings)
    yield line
    line.down()


def task_of(line: lines.Line, scene: scenes.Scene, namespace: str) -> scenes.Job:
    """A load by this line's own gateway, watched through this release's."""
    rows = scenes.rows_with_flaws(ROWS)
    told = {"namespace": namespace, "chunk_size": stages.CHUNK_ROWS, "request_id": namespace}
    return scene.watch(line.upload(scenes.csvs.of(rows), question_id=scenes.QUESTION, **told), rows, namespace)


def test_two_releases_work_beside_each_other_and_each_ends_what_the_other_began(
    scene: scenes.Scene, previous: Previous
) -> None:
    scene.slow(400)
    previous.up()
    first = task_of(previous, scene, "of-the-release-before")
    second = task_of(scene.line, scene, "of-this-release")
    first.wait_chunks(5)
    second.wait_chunks(5)

    previous.down()  # forward: this release alone has what the other began
    scene.finish(first, within=180)
    scene.finish(second, within=180)

    previous.up()
    third = task_of(scene.line, scene, "to-be-ended-by-the-release-before")
    third.wait_chunks(5)
    scene.line.down()  # and back
    ended = lines.wait_for("the end by the release before", lambda: end(previous, third.task_id), 180)
    assert ended["status"] == "partially_completed", ended
    scene.line.up()
    scene.finish(third, within=120)

    scene.check(twice=6 * stages.IN_HAND * stages.EMBEDDERS)


def end(line: lines.Line, task_id: str) -> dict[str, object] | None:
    found = line.task(task_id)
    return found if found["status"] in lines.TERMINAL else None

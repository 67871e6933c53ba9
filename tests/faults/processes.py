"""Stopped, continued, restarted, scaled: what operators and schedulers do to processes. And wrong clocks."""

import contextlib
import os
import signal
from collections.abc import Callable

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene
from tests.support.line import wait_for

TWO_INGESTS = {"INGESTS": "2"}


def terminated(process: str, times: int) -> Callable[[Scene], None]:
    """SIGTERM in mid chunk, several times: the same as once."""

    def act(scene: Scene) -> None:
        scene.slow(400)
        job = scene.upload(stages.MID_WORK)
        job.wait_chunks(3)
        pid = scene.line.pid(process)
        scene.struck()
        for _ in range(times):
            with contextlib.suppress(ProcessLookupError):  # it may have ended already
                os.kill(pid, signal.SIGTERM)
            scene.hold(0.1)
        scene.lifted()
        scene.finish(job)
        _in_order(scene, process, pid)

    return act


def _in_order(scene: Scene, process: str, pid: int) -> None:
    """A process that was asked to end did so, and told all that it had to tell."""
    wait_for(f"{process} anew", lambda: scene.stage.began_anew(process, pid), 60)
    ends = [line for line in scene.stage.supervised() if f" {process} ended with " in line]
    assert " ended with exit code 0 " in ends[-1], ends[-1]


def stopped(seconds: float) -> Callable[[Scene], None]:
    """An embedder stands still for longer than its lease and goes on while the task runs."""

    def act(scene: Scene) -> None:
        scene.slow(400)
        job = scene.upload(stages.MID_WORK)
        job.wait_chunks(3)
        with scene.fault():
            scene.line.kill("embedder-1", signal.SIGSTOP)
            scene.hold(seconds)
            scene.line.kill("embedder-1", signal.SIGCONT)
        scene.finish(job)

    return act


def rolling(scene: Scene) -> None:
    """Every service is restarted, one process after the other, under load."""
    scene.slow(300)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    for process in scene.stage.processes:
        pid, starts = scene.line.pid(process), scene.stage.starts(process)
        scene.kill(process, signal.SIGTERM)
        _in_order(scene, process, pid)
        # Health is looked at once a second for all who ask: it may be that of the process before.
        wait_for(f"{process} listens", lambda process=process, starts=starts: scene.stage.starts(process) > starts, 60)
        wait_for("everybody well", scene.stage.healthy, 60)
    scene.finish(job)


def scaled(scene: Scene) -> None:
    scene.slow(400)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    scene.struck()
    scene.stage.configure({"EMBEDDERS": "4"})
    scene.lifted()
    settled = job.chunks
    job.wait_chunks(min(settled + 6, stages.MID_WORK // stages.CHUNK_ROWS - 2))
    scene.stage.configure({"EMBEDDERS": "1"})
    scene.finish(job)


def two_resubmitters(scene: Scene) -> None:
    """Valkey forgets everything, also who splits, while a splitter is at work and another ingest looks after tasks."""
    scene.slow(300)
    job = scene.upload(5 * stages.MID_WORK)
    job.wait_chunks(3)
    assert not scene.stage.ledger(job.task_id)[job.task_id]["sealed"], "its splitter must still be at work"
    with scene.stage.redis() as client, scene.fault():
        client.flushall()
    scene.finish(job)


def plain(scene: Scene) -> None:
    scene.struck()
    scene.lifted()
    scene.finish(scene.upload(1_500))


CELLS = [
    *(
        Cell(f"embedder: SIGTERM in mid chunk{words}", terminated("embedder-1", times))
        for times, words in ((1, ""), (2, ", twice"), (3, ", three times"))
    ),
    Cell("indexer: SIGTERM in mid task, twice", terminated("indexer-1", 2)),
    Cell("ingest: SIGTERM in mid publish, twice", terminated("ingest-1", 2)),
    Cell("embedder stopped for 9 s and continued", stopped(9), twice=stages.IN_HAND),
    Cell("rolling restart of all services under load", rolling),
    Cell("embedders scaled 1 to 4 to 1 under load", scaled, settings={"EMBEDDERS": "1"}, patient=True),
    Cell(
        "two ingests: FLUSHALL, both resubmit",
        two_resubmitters,
        twice=stages.EMBEDDERS * stages.IN_HAND,
        settings=TWO_INGESTS,
    ),
    Cell("clock of an embedder one hour ahead", plain, settings={"CLOCK_SHIFT": "embedder-1:3600"}, patient=True),
    Cell("clock of the indexer one hour behind", plain, settings={"CLOCK_SHIFT": "indexer-1:-3600"}, patient=True),
    Cell("clock of ingest one hour ahead", plain, settings={"CLOCK_SHIFT": "ingest-1:3600"}, patient=True),
]

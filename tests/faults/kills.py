"""Each service killed at each place where its death could matter."""

from collections.abc import Callable

import httpx

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene, rows_with_flaws
from tests.support import csvs
from tests.support.line import wait_for

BOTH = 2 * stages.IN_HAND


def at(rule: str, *, rows: int = 2_000, within: float = 60) -> Callable[[Scene], None]:
    """A task during which the rule fires."""

    def act(scene: Scene) -> None:
        scene.arm(rule)
        job = scene.upload(rows)
        scene.fired()
        scene.finish(job, within=within)

    return act


def second_answer(within: float) -> Callable[[Scene], None]:
    """One of two embedders dies at its second answer of OpenAI: of five full requests, one of them has two."""
    return at("embedder.after_openai:kill@2", rows=10_000, within=within)


def submitting(rule: str) -> Callable[[Scene], None]:
    """The process dies while it stores the task; the caller repeats its call with the same key: one task."""

    def act(scene: Scene) -> None:
        scene.arm(rule)
        rows = rows_with_flaws(1_000)
        scene.stage.line.put(f"exports/{scene.namespace}.csv", csvs.of(rows))
        body = {
            "data_source": "s3_csv",
            "s3_key": f"exports/{scene.namespace}.csv",
            "question_id": 232,
            "namespace": scene.namespace,
            "chunk_size": 100,
            "request_id": scene.namespace,
        }

        def accepted() -> str:
            try:
                answer = scene.line.rest.post("/api/v1/process", json=body)
            except httpx.TransportError:
                return ""
            assert answer.status_code in (202, 503, 504), answer.text
            return str(answer.json()["task_id"]) if answer.status_code == 202 else ""

        task_id = wait_for("the task is taken", accepted, 60)
        scene.fired()
        assert wait_for("the same task", accepted, 60) == task_id
        stored = [
            item
            for item in scene.stage.ledger().values()
            if item.get("namespace") == scene.namespace and item.get("kind") == "task"
        ]
        assert [item["task_id"] for item in stored] == [task_id]
        scene.finish(scene.watch(task_id, rows))

    return act


def during_openai(scene: Scene) -> None:
    scene.slow(600)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(2)
    wait_for("a call under way", lambda: scene.stage.journal()["summary"]["in_flight"])
    scene.kill("embedder-1")
    scene.finish(job)


def everything_at_once(scene: Scene) -> None:
    scene.slow(300)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    for process in ("indexer-1", "ingest-1", "embedder-1", "embedder-2"):
        scene.kill(process)
    scene.finish(job)


CELLS = [
    Cell("ingest killed before the task is stored", submitting("ingest.before_create:kill")),
    Cell("ingest killed after the task is stored, before its answer", submitting("ingest.after_create:kill")),
    Cell("indexer killed after the task is stored, before its answer", submitting("indexer.after_create:kill")),
    Cell("ingest killed before the scan", at("ingest.before_scan:kill")),
    Cell("ingest killed between scan and plan", at("ingest.before_end_scan:kill")),
    Cell("ingest killed in mid publish", at("ingest.mid_publish:kill@7"), fast=True),
    Cell("ingest killed after the last publish, before the seal", at("ingest.before_seal:kill")),
    Cell("ingest killed after the seal", at("ingest.after_seal:kill")),
    Cell("embedder killed after taking", at("embedder.after_take:kill@3"), twice=stages.IN_HAND),
    Cell("embedder killed while decoding (once: no poison)", at("embedder.decode:kill@3"), twice=stages.IN_HAND),
    Cell("embedder killed during the OpenAI call", during_openai, twice=stages.IN_HAND),
    Cell("embedder killed after OpenAI answered", second_answer(60), twice=stages.IN_HAND, fast=True),
    Cell(
        "embedder killed after IndexChunk was sent",
        at("embedder.after_index_sent:kill@2", rows=stages.MID_WORK),
        twice=stages.IN_HAND,
    ),
    Cell("embedder killed after settle, before the ack", at("embedder.before_ack:kill", rows=100)),
    Cell("indexer killed before Pinecone", at("indexer.before_upsert:kill@3", rows=stages.MID_WORK)),
    Cell("indexer killed while decoding (once: no poison)", at("indexer.decode:kill@9")),
    Cell("indexer killed after Pinecone, before settle", at("indexer.after_upsert:kill@3", rows=stages.MID_WORK)),
    Cell("indexer killed after the rejects, before settle", at("indexer.before_settle:kill@3")),
    Cell("indexer killed between settle and roll up (in mid task)", at("indexer.after_settle:kill@3")),
    Cell("indexer killed after settle, before the reply", at("indexer.before_reply:kill@3", rows=stages.MID_WORK)),
    Cell("indexer killed between the last settle and roll up", at("indexer.before_roll_up:kill"), fast=True),
    Cell("indexer killed between roll up and close", at("indexer.before_close:kill")),
    Cell("all services killed at once", everything_at_once, twice=BOTH),
    Cell(
        "production times: ingest killed in mid publish",
        at("ingest.mid_publish:kill@7", within=60),
        settings=stages.PRODUCTION,
        patient=True,
    ),
    Cell(
        "production times: embedder killed after OpenAI answered",
        second_answer(60),
        twice=stages.IN_HAND,
        settings=stages.PRODUCTION,
        patient=True,
    ),
    Cell(
        "production times: indexer killed after Pinecone, before settle",
        at("indexer.after_upsert:kill@3", within=60),
        settings=stages.PRODUCTION,
        patient=True,
    ),
]

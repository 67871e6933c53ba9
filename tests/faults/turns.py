"""Two tasks that write the same vectors take turns; many requests with one key are one task; the largest chunks."""

import concurrent.futures
import contextlib
import json
import signal
from collections.abc import Callable

import grpc
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from tests.faults import aws, zombies
from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene, rows_with_flaws
from tests.support import csvs, proxy
from tests.support.line import wait_for


def _others(count: int) -> list[tuple[str, ...]]:
    """Rows with the ids of the first task's, and other texts."""
    return [(id_, text and f"{text} Later.", *rest) for id_, text, *rest in csvs.rows(count)]


def taking_turns(harm: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """A second task over the same ids is submitted while the first is at work; something happens to the first."""

    def act(scene: Scene) -> None:
        scene.slow(250)
        first = scene.submit(csvs.rows(stages.MID_WORK))
        first.wait_chunks(2)
        second = scene.submit(_others(stages.MID_WORK))
        second.wait_status("queued")
        harm(scene)
        if first.status == "cancelled":
            scene.finish(first, "cancelled")
        else:
            scene.finish(first)
            assert second.status in ("queued", "processing", "processing_chunks")
        scene.finish(second)

    return act


def nothing(scene: Scene) -> None:
    scene.struck()
    scene.lifted()


def killed(scene: Scene) -> None:
    for process in ("ingest-1", "embedder-1", "indexer-1"):
        scene.kill(process)


def cancelled(scene: Scene) -> None:
    with scene.fault():
        assert scene.line.rest.delete(f"/api/v1/task/{scene.jobs[0].task_id}").status_code == 204
    scene.jobs[0].wait_status("cancelled")


def blocked_and_resumed(scene: Scene) -> None:
    """The first task is blocked, the second has its turn; the first goes on with the chunks that it had not settled."""
    scene.either = True
    scene.slow(250)
    first = scene.submit(csvs.rows(stages.MID_WORK))
    first.wait_chunks(2)
    second = scene.submit(_others(stages.MID_WORK))
    second.wait_status("queued")
    endpoints = scene.line.endpoints
    with grpc.insecure_channel(endpoints["INDEXER_ADDR"]) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        proof = (("x-internal-token", endpoints["INTERNAL_TOKEN"]),)
        with scene.fault():
            ledger.BlockTask(
                ledger_pb2.BlockTaskRequest(task_id=first.task_id, reason="TEST", message="Blocked."), metadata=proof
            )
        first.wait_status("blocked")
        scene.finish(second)
        ledger.ResumeTask(ledger_pb2.ResumeTaskRequest(task_id=first.task_id), metadata=proof)
    scene.finish(first, within=120)


def late_writer(scene: Scene) -> None:
    """An indexer stands still with the ledger's word in hand, its task is cancelled, the next one writes; it goes on.

    The word is old by then, so nothing of the first task may overwrite what the second one wrote.
    """
    scene.slow(1_000)
    first = scene.submit(csvs.rows(stages.MID_WORK))
    first.wait_chunks(1)
    second = scene.submit(_others(stages.MID_WORK))
    second.wait_status("queued")
    processes = zombies.pids(scene)
    scene.arm("indexer.after_check:stop")
    scene.fired()
    assert first.status == "processing_chunks"
    name = zombies.stopped(processes)
    _cancel(scene, first.task_id)
    first.wait_status("cancelled")
    scene.lifted()
    scene.finish(second, within=120)
    scene.line.kill(name, signal.SIGCONT)
    scene.finish(first, "cancelled")


def _cancel(scene: Scene, task_id: str) -> None:
    """By an indexer that serves, whichever it is: the gateway would wait for the one that stands still."""
    endpoints = scene.line.endpoints
    ports = json.loads((scene.line.folder / "ports.json").read_text())  # the endpoints name one indexer only
    for port in (ports["indexer-1"], ports["indexer-2"]):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, contextlib.suppress(grpc.RpcError):
            indexer_pb2_grpc.IndexerServiceStub(channel).CancelTask(
                indexer_pb2.CancelTaskRequest(task_id=task_id),
                metadata=(("x-api-key", endpoints["API_KEY"]),),
                timeout=3,
            )


def one_key(scene: Scene) -> None:
    """Ten identical requests with one key at once: one task."""
    rows = rows_with_flaws(500)
    key = f"exports/{scene.namespace}.csv"
    scene.stage.line.put(key, csvs.of(rows))
    body = {"data_source": "s3_csv", "s3_key": key, "question_id": 232, "namespace": scene.namespace, "chunk_size": 100}
    headers = {"Idempotency-Key": scene.namespace}

    def post(_: int) -> str:
        answer = scene.line.rest.post("/api/v1/process", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    scene.struck()
    with concurrent.futures.ThreadPoolExecutor(10) as threads:
        ids = set(threads.map(post, range(10)))
    assert len(ids) == 1
    scene.lifted()
    scene.finish(scene.watch(ids.pop(), rows))


def sealed_before_any_settles(scene: Scene) -> None:
    """Everything is published and sealed while the embedders stand still."""
    for number in range(1, stages.EMBEDDERS + 1):
        scene.line.kill(f"embedder-{number}", signal.SIGSTOP)
    job = scene.upload(600)
    wait_for("the seal", lambda: scene.stage.ledger(job.task_id)[job.task_id]["sealed"])
    assert job.chunks == 0
    scene.struck()
    for number in range(1, stages.EMBEDDERS + 1):
        scene.line.kill(f"embedder-{number}", signal.SIGCONT)
    scene.lifted()
    scene.finish(job)


def sealed_after_all_settled(scene: Scene) -> None:
    """ingest stands still before the seal until every chunk is settled: the task is not over before it is sealed."""
    scene.arm("ingest.before_seal:stop")
    job = scene.upload(600)
    scene.fired()
    job.wait_chunks(6)
    task = scene.stage.ledger(job.task_id)[job.task_id]
    assert (task["sealed"], task["status"]) == (False, "processing_chunks")
    scene.line.kill("ingest-1", signal.SIGCONT)
    scene.lifted()
    scene.finish(job)


def huge_chunks(scene: Scene) -> None:
    """Chunks close at 4 MiB; an embedder dies with one in hand."""
    rows = [
        (f"i{number}", f"Item {number} is told at length. {'word ' * 4_500}", "1", "true", "1")
        for number in range(1, 401)
    ]
    scene.arm("embedder.after_openai:kill@2")
    job = scene.submit(rows, chunk_size=1_000)
    scene.fired()
    scene.finish(job, within=120)
    items = scene.stage.ledger(job.task_id)
    assert 1 < int(items[job.task_id]["chunks_total"]) < 6


def unnamed(scene: Scene) -> None:
    """The answers to a task's first write are lost, and no idempotency key was given: it is one task all the same."""
    with (
        scene.fault(),
        scene.stage.aws_proxy.toxic(
            proxy.Kind.RESET_ANSWER, match=aws.DYNAMODB + b"TransactWriteItems", times=2
        ) as toxic,
    ):
        job = scene.upload(300, request_id="")
        assert toxic.fired
    scene.finish(job)
    mine = [
        item
        for key, item in scene.stage.ledger().items()
        if item.get("kind") == "task" and item.get("namespace") == scene.namespace
    ]
    assert [item["task_id"] for item in mine] == [job.task_id]


def crowd(scene: Scene) -> None:
    """Four tasks wait for one question; the ledger is slow and loses answers meanwhile, and the indexer is killed."""
    scene.slow(100)
    jobs = [scene.submit(csvs.rows(100, first=1 + 1_000 * number)) for number in range(4)]
    jobs[0].wait_chunks(1)
    losing = scene.stage.aws_proxy.toxic(proxy.Kind.LOSE_ANSWER, match=aws.DYNAMODB + b"UpdateItem", times=10)
    with scene.fault(), losing, scene.stage.aws_proxy.toxic(proxy.Kind.LATENCY, seconds=0.3, match=aws.DYNAMODB):
        scene.line.kill("indexer-1", signal.SIGKILL)
        scene.hold(6)
    wait_for("everybody", scene.stage.healthy, 60)
    for job in jobs:
        scene.finish(job, within=180)


CELLS = [
    Cell("ledger: the answers of a submission without a key are lost", unnamed),
    Cell(
        "ledger: four tasks wait for one question, answers are lost, the indexer is killed",
        crowd,
        twice=stages.EMBEDDERS * stages.IN_HAND,
        patient=True,
    ),
    Cell("turns: two tasks, one (namespace, question)", taking_turns(nothing), fast=True),
    Cell("turns: the holder's processes are killed", taking_turns(killed), twice=stages.EMBEDDERS * stages.IN_HAND),
    Cell("turns: the holder is cancelled", taking_turns(cancelled)),
    Cell(
        "turns: an indexer stopped with the ledger's word in hand, a late writer",
        late_writer,
        twice=stages.EMBEDDERS * stages.IN_HAND,
        settings={"INDEXERS": "2"},
        patient=True,
    ),
    Cell("turns: the holder is blocked, and resumed", blocked_and_resumed, twice=stages.EMBEDDERS * stages.IN_HAND),
    Cell("ten identical requests with one idempotency key at once", one_key),
    Cell("sealed before any chunk settles", sealed_before_any_settles),
    Cell("sealed after all chunks settled", sealed_after_all_settled),
    Cell("chunks of 4 MiB, an embedder killed with one in hand", huge_chunks, twice=2 * 400),
]

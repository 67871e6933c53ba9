"""DynamoDB and S3 behind a proxy: throttled, silent after the commit, down at a submission; objects replaced or cut."""

import json
from collections.abc import Callable
from typing import Any

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene, rows_with_flaws
from tests.support import csvs, proxy
from tests.support.line import TERMINAL, wait_for

DYNAMODB = b"DynamoDB_20120810."


def refused(error: dict[str, str]) -> bytes:
    """DynamoDB's answer to a call that it does not do."""
    return proxy.answer("400 Bad Request", "application/x-amz-json-1.0", json.dumps(error).encode())


THROTTLED = refused(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded.",
    }
)


def amid(kind: proxy.Kind, seconds: float, **details: Any) -> Callable[[Scene], None]:
    """A toxic between the services and AWS while a task is at work."""

    def act(scene: Scene) -> None:
        scene.slow(200)
        job = scene.upload(stages.MID_WORK)
        job.wait_chunks(3)
        with scene.fault(), scene.stage.aws_proxy.toxic(kind, **details):
            scene.hold(seconds)
        scene.finish(job)

    return act


def during(kind: proxy.Kind, **details: Any) -> Callable[[Scene], None]:
    """A toxic for the whole of a task; `times` ends it."""

    def act(scene: Scene) -> None:
        with scene.fault(), scene.stage.aws_proxy.toxic(kind, **details) as toxic:
            job = scene.upload(1_500)
            scene.finish(job)
            assert toxic.fired

    return act


def down_at_create(scene: Scene) -> None:
    """503, and nothing of it is stored."""
    before = set(scene.stage.ledger())
    content = csvs.of(rows_with_flaws(500))
    with scene.fault(), scene.stage.aws_proxy.toxic(proxy.Kind.RESET, match=DYNAMODB):
        answer = scene.line.rest.post(
            "/api/v1/upload/items.csv",
            params={"question_id": 232, "namespace": scene.namespace, "request_id": scene.namespace},
            content=content,
        )
        assert answer.status_code in (503, 504), answer.text
    assert set(scene.stage.ledger()) == before
    scene.lifted()
    scene.finish(scene.upload(500, request_id=scene.namespace))


def _s3_job(scene: Scene, rows: list[tuple[str, ...]]) -> Any:
    key = f"exports/{scene.namespace}.csv"
    task_id = scene.line.process(data_source="s3_csv", s3_key=key, namespace=scene.namespace, chunk_size=100)
    return scene.watch(task_id, rows)


def replaced(scene: Scene) -> None:
    """The object is replaced between pin and read: the pinned one is read to its end, or the task fails by name."""
    rows = rows_with_flaws(3_000)
    key = f"exports/{scene.namespace}.csv"
    scene.stage.line.put(key, csvs.of(rows))
    with scene.fault(), scene.stage.aws_proxy.toxic(proxy.Kind.LATENCY, match=b"GET /vectorline/exports", seconds=3):
        job = _s3_job(scene, rows)
        scene.stage.line.put(key, csvs.of(rows_with_flaws(2_000, first=5_001)))
        scene.hold(3)
    task = scene.finish(job, status=_ended(scene, job))
    if task["status"] == "failed":
        assert task["error_reason"] == "SOURCE_CHANGED"
        assert scene.stage.journal()["summary"]["inputs_bought"] == 0


def _ended(scene: Scene, job: Any) -> str:
    wait_for("the end", lambda: job.status in TERMINAL)
    assert job.status in ("failed", "partially_completed")
    return str(job.status)


def cut(kind: proxy.Kind, **details: Any) -> Callable[[Scene], None]:
    """Reads of the source break off; they go on where they broke."""

    def act(scene: Scene) -> None:
        rows = rows_with_flaws(3_000)
        scene.stage.line.put(f"exports/{scene.namespace}.csv", csvs.of(rows))
        with scene.fault(), scene.stage.aws_proxy.toxic(kind, match=b"GET /vectorline/exports", **details) as toxic:
            job = _s3_job(scene, rows)
            scene.finish(job)
            assert toxic.fired

    return act


CELLS = [
    Cell(
        "DynamoDB: throttled for 2 minutes", amid(proxy.Kind.ANSWER, 120, match=DYNAMODB, body=THROTTLED), patient=True
    ),
    Cell("DynamoDB: away for 12 s", amid(proxy.Kind.RESET, 12, match=DYNAMODB)),
    Cell(
        "DynamoDB: four updates time out after the commit",
        during(proxy.Kind.LOSE_ANSWER, match=DYNAMODB + b"UpdateItem", times=4),
    ),
    Cell(
        "DynamoDB: twenty updates reset after the commit",
        during(proxy.Kind.RESET_ANSWER, match=DYNAMODB + b"UpdateItem", times=20),
    ),
    Cell(
        "DynamoDB: transactions reset after the commit",
        during(proxy.Kind.RESET_ANSWER, match=DYNAMODB + b"TransactWriteItems", times=3),
    ),
    Cell("DynamoDB: down at create", down_at_create),
    Cell("S3: the object is replaced in mid read", replaced),
    Cell("S3: two reads of the source truncated", cut(proxy.Kind.TRUNCATE, keep=60_000, times=2)),
    Cell("S3: two reads of the source reset", cut(proxy.Kind.RESET_ANSWER, times=2)),
    Cell(
        "S3: rejects cannot be stored twelve times",
        during(proxy.Kind.RESET, match=b"PUT /vectorline/rejects", times=12),
    ),
    Cell("S3: the plan cannot be stored six times", during(proxy.Kind.RESET, match=b"PUT /vectorline/plans", times=6)),
]

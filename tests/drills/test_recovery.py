"""What the recovery runbooks say, done on a line at work: a restored table and no queue; two minutes without AWS."""

from typing import Any

import pytest

from tests.faults import aws as answers
from tests.faults import scene as scenes
from tests.faults import stage as stages
from tests.support import line as lines
from tests.support import proxy

pytestmark = pytest.mark.timeout(600)

RESTORED = "vectorline-restored"
ROWS = 4_000
DENIED_SECONDS = 120.0
DENIED_BY_DYNAMODB = answers.refused(
    {
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "assumed-role/indexer is not authorized to perform: dynamodb:UpdateItem",
    }
)
DENIED_BY_S3 = proxy.answer(
    "403 Forbidden",
    "application/xml",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
)


def restore(stage: stages.Stage, items: dict[str, dict[str, Any]], name: str) -> None:
    """As point-in-time recovery does: a new table of the same shape that holds what was there then."""
    known = stage.dynamodb.meta.client.describe_table(TableName=stages.TABLE)["Table"]
    stage.dynamodb.create_table(
        TableName=name,
        KeySchema=known["KeySchema"],
        AttributeDefinitions=known["AttributeDefinitions"],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
            for index in known["GlobalSecondaryIndexes"]
        ],
    )
    with stage.dynamodb.Table(name).batch_writer() as batch:
        for item in items.values():
            batch.put_item(Item=item)


def test_valkey_is_destroyed_and_the_table_is_restored_to_a_copy_of_before(scene: scenes.Scene) -> None:
    stage = scene.stage
    scene.slow(300)
    job = scene.upload(ROWS)
    job.wait_chunks(5)
    copy = stage.ledger()
    job.wait_chunks(20)  # what settles after the copy is forgotten with the table
    settled = job.chunks

    with scene.fault():
        stage.valkey.restart(kill=True)  # keeps nothing
        restore(stage, copy, RESTORED)
        stage.table = RESTORED
        stage.configure({"DYNAMODB_TABLE_NAME": RESTORED})
    lines.wait_for("the restored task", lambda: job.chunks < settled, 60)
    job.seen.clear()  # counts that go back are what a restore is

    scene.finish(job, within=180)
    # Bought twice is at most what had settled since the copy, and what was in hand.
    scene.check(twice=ROWS)
    bought = stage.journal()["summary"]["repeated_inputs"]
    assert bought <= (settled + 10) * stages.CHUNK_ROWS + stages.IN_HAND * stages.EMBEDDERS, bought


def test_a_wrong_policy_denies_dynamodb_and_s3_for_two_minutes(scene: scenes.Scene) -> None:
    scene.slow(200)
    job = scene.upload(ROWS)
    job.wait_chunks(5)
    aws = scene.stage.aws_proxy

    with (
        scene.fault(),
        aws.toxic(proxy.Kind.ANSWER, match=answers.DYNAMODB, body=DENIED_BY_DYNAMODB) as table,
        aws.toxic(proxy.Kind.ANSWER, match=b" /vectorline/", body=DENIED_BY_S3) as bucket,
    ):
        scene.hold(DENIED_SECONDS)
        assert table.fired
    other = scene.upload(500)

    scene.finish(job, within=180)
    scene.finish(other, within=60)
    assert bucket.fired or job.status == "partially_completed"
    scene.check(twice=stages.IN_HAND * stages.EMBEDDERS)

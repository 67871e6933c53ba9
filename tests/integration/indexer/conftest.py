"""A ledger over a real server's table, a new one for each test."""

import uuid
from collections.abc import Iterator

import pytest

from services.indexer import ledger, provision
from services.indexer.storage import clock, dynamodb
from services.runtime import aws
from tests.support import aws as aws_server
from tests.support import ledgers


@pytest.fixture(scope="session")
def aws_process() -> Iterator[aws_server.AwsServer]:
    """One ministack for the session."""
    with aws_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def where(aws_process: aws_server.AwsServer) -> Iterator[aws.CallerSettings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_server.CREDENTIALS.items():
            patch.setenv(name, value)
        yield aws.CallerSettings(aws_endpoint_url=aws_process.url, aws_threads=16)


@pytest.fixture
def storage(where: aws.CallerSettings) -> Iterator[dynamodb.DynamoTable]:
    client = aws.dynamodb(where)
    name = f"ledger-{uuid.uuid4().hex[:12]}"
    provision.ensure_table(client, name, lambda line: line)
    caller = aws.Caller("DynamoDB", where)
    yield dynamodb.DynamoTable(client, name, caller)
    caller.close()
    client.close()


@pytest.fixture
def book(storage: dynamodb.DynamoTable) -> ledger.Ledger:
    return ledger.Ledger(storage, clock.Clock(), index=ledgers.INDEX)

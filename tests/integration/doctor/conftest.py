"""All that the line depends on, each the real thing or the stand-in of `make up`, and an environment that names it."""

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pinecone
import pytest
from vectorline.v1 import ledger_pb2

from sandbox.pinecone import testing
from services.doctor import examination, finding, told
from services.indexer import provision
from services.runtime import aws, secrets
from tests.support import aws as aws_server
from tests.support import openai, ports, proxy, servers
from tests.support import valkey as valkey_server

DIMENSION = 1536
OPENAI_KEY = "sk-canary-of-openai-0123456789"
PINECONE_KEY = "pc-canary-of-pinecone-0123456789"
TOKEN = "canary-of-the-internal-token"
CALLER = "canary-of-a-caller"
AWS_SECRET = "canary-of-the-aws-secret"
SECRETS = (OPENAI_KEY, PINECONE_KEY, TOKEN, CALLER, AWS_SECRET)


class Asked(servers.Servicers):
    """An indexer that knows its index."""

    async def CheckNamespace(self, _request: Any, _context: Any) -> ledger_pb2.CheckNamespaceResponse:
        return ledger_pb2.CheckNamespaceResponse(index_dimension=DIMENSION)


@dataclasses.dataclass
class Surroundings:
    """What the doctor looks at; a test breaks it, or sets a variable wrong."""

    aws: aws_server.AwsServer
    pinecone: testing.Process
    valkey: valkey_server.ValkeyServer
    patch: pytest.MonkeyPatch
    tables: Any
    objects: Any

    def set(self, **variables: object) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, str(value))

    async def look(self, *only: str, services: tuple[str, ...] = ("ingest", "embedder", "indexer")) -> "Report":
        return Report(await examination.examine(told.Told(secrets.Vault()), only, services))


@dataclasses.dataclass
class Report:
    found: list[finding.Finding]

    def __post_init__(self) -> None:
        text = repr(self.found)
        assert not [secret for secret in SECRETS if secret in text], text

    def of(self, check: str, part: str) -> finding.Finding:
        """The worst of these."""
        several = [each for each in self.found if (each.check, each.part) == (check, part)]
        assert several, self.found
        return max(several, key=lambda each: list(finding.Level).index(each.level))

    @property
    def wrong(self) -> set[tuple[str, str, str]]:
        return {(each.check, each.part, each.level.value) for each in self.found if each.level is not finding.Level.OK}


@pytest.fixture(scope="session")
def _aws() -> Iterator[aws_server.AwsServer]:
    with aws_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def _pinecone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testing.Process]:
    with testing.running(tmp_path_factory.mktemp("pinecone"), "--api-key", PINECONE_KEY) as process:
        yield process


@pytest.fixture
async def around(
    _aws: aws_server.AwsServer,
    _pinecone: testing.Process,
    valkey: valkey_server.ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Surroundings]:
    """Everything is well, and made as `init` makes it; names are the test's own."""
    name = f"doctor-{tmp_path.name[-20:].strip('_-').replace('_', '-')}-{os.urandom(3).hex()}"[-40:].lower().strip("-")
    async with (
        openai.serving(api_key=OPENAI_KEY) as openai_url,
        servers.serving(servicers=Asked(), internal_token=TOKEN, api_key=CALLER) as indexer,
    ):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
        where = aws.CallerSettings(aws_endpoint_url=_aws.url)
        tables, objects = aws.dynamodb(where), aws.s3(where)
        provision.ensure_table(tables, name, str)
        provision.ensure_bucket(objects, name, "us-east-1", str)
        with pinecone.Pinecone(api_key=PINECONE_KEY, host=_pinecone.url) as client:
            client.create_index(
                name,
                dimension=DIMENSION,
                metric="cosine",
                spec=pinecone.ServerlessSpec(cloud="aws", region="us-east-1"),
            )
        found = Surroundings(_aws, _pinecone, valkey, monkeypatch, tables, objects)
        found.set(
            AWS_ENDPOINT_URL=_aws.url,
            DYNAMODB_TABLE_NAME=name,
            S3_BUCKET_NAME=name,
            REDIS_URL=valkey.url,
            OPENAI_API_KEY=OPENAI_KEY,
            OPENAI_BASE_URL=f"{openai_url}/v1",
            PINECONE_API_KEY=PINECONE_KEY,
            PINECONE_INDEX_NAME=name,
            PINECONE_CONTROLLER_HOST=_pinecone.url,
            INDEXER_ADDR=indexer.address,
            INTERNAL_TOKEN=TOKEN,
            API_KEY=CALLER,
        )
        yield found
        _pinecone.set_faults()
        with pinecone.Pinecone(api_key=PINECONE_KEY, host=_pinecone.url) as client:
            if client.has_index(name):
                client.delete_index(name)
        tables.close()
        objects.close()


def nowhere() -> str:
    return f"127.0.0.1:{ports.free()}"


@contextlib.contextmanager
def before(port: int) -> Iterator[proxy.Proxy]:
    """A proxy in front of a server."""
    between = proxy.Proxy(port)
    try:
        yield between
    finally:
        between.close()


def judged(found: finding.Finding) -> str:
    """Its level; what is wrong has a remedy."""
    assert (found.level is finding.Level.OK) == (not found.remedy), found
    return found.level.value

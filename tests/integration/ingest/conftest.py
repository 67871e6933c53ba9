"""Ingest's API in this process: real S3 (ministack), the indexer's own ledger in memory, a stand-in for Metabase."""

import contextlib
import dataclasses
import pathlib
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import grpc
import httpx
import pytest
from aiohttp import web
from vectorline.v1 import ingest_pb2, ingest_pb2_grpc, ledger_pb2_grpc, manifest_pb2_grpc

from sandbox.metabase import app
from services.billing import prices
from services.indexer import manifest_servicer
from services.indexer.ledger import servicer as ledger_servicer
from services.ingest import ledger_client, manifest_client, servicer, settings, threads
from services.ingest.estimating import estimate, estimator
from services.ingest.jobs import forecasts, kinds, requests
from services.ingest.manifest import store as objects_of_manifests
from services.ingest.planning import shelf
from services.ingest.request import options
from services.ingest.sources import named, uploads
from services.ingest.sources.metabase import export as metabase_export
from services.runtime import identity
from services.runtime.interceptors import failures
from tests.support import aws as aws_server
from tests.support import ledgers
from tests.support.key_tokens import LocalTokens

BUCKET = "vectorline"
ANN = identity.Caller("ann", frozenset({"read", "ingest"}))
BOB = identity.Caller("bob", frozenset({"read", "ingest"}))
ADMIN = identity.Caller("root", frozenset({"read", "ingest", "admin"}))


@pytest.fixture(scope="session")
def aws() -> Iterator[aws_server.AwsServer]:
    with aws_server.running() as server:
        yield server


@pytest.fixture
def s3(aws: aws_server.AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in aws_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=aws.url, region_name="us-east-1")
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
async def metabase() -> AsyncIterator[str]:
    """Where the stand-in is."""
    runner = web.AppRunner(app.Service("right").application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def where(metabase: str) -> settings.MetabaseSettings:
    return settings.MetabaseSettings(metabase_url=metabase, metabase_api_key="right", metabase_retry_seconds=5)


@pytest.fixture
async def asked(s3: Any, where: settings.MetabaseSettings) -> AsyncIterator[metabase_export.Questions]:
    async def sleep(_seconds: float) -> None:
        return

    async with metabase_export.connect(where.metabase) as client:
        yield metabase_export.Questions(client, uploads.Uploads(s3, BUCKET), where.metabase, sleep=sleep)


class Door(grpc.aio.ServerInterceptor):
    """Binds the caller that the test chose, in place of the keys."""

    def __init__(self) -> None:
        self.caller = ANN

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        identity.bind(self.caller)
        return await continuation(details)


class Drives:
    """Notes the tasks that would be driven."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, task_id: str) -> None:
        self.begun.append(task_id)


@dataclasses.dataclass
class Api:
    """Ingest as callers see it."""

    stub: Any
    door: Door
    drives: Drives
    line: ledgers.Line
    local: pathlib.Path
    tokens: LocalTokens

    async def upload(self, content: bytes, *, key: str = "", **options: Any) -> ingest_pb2.ProcessResponse:
        async def parts() -> AsyncIterator[ingest_pb2.UploadRequest]:
            first = ingest_pb2.UploadRequest(**{"filename": "a b.csv", "question_id": 7, **options})
            first.body.data = content[: len(content) // 2]
            yield first
            second = ingest_pb2.UploadRequest()
            second.body.data = content[len(content) // 2 :]
            yield second

        return await self.stub.Upload(parts(), metadata=(("idempotency-key", key),) if key else ())


class Uncompared:
    """All of every task travelled."""

    async def kept(self, _task_id: str) -> None:
        return None


@pytest.fixture
async def api(s3: Any, asked: metabase_export.Questions, tmp_path: pathlib.Path) -> AsyncIterator[Api]:
    line, door, drives = ledgers.line(), Door(), Drives()
    local = tmp_path / "csvs"
    local.mkdir()
    store: Any = None  # there are no rejects to read
    allowed = settings.SourceSettings(s3_bucket_name=BUCKET, use_local_files=True, local_csv_folder=local)
    server = grpc.aio.server(interceptors=[failures.Failures(), door])
    port = server.add_insecure_port("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ledger = ledger_client.Ledger(channel)
        find = named.Sources(s3, allowed.allowed)
        costs = prices.Prices({"small": 0.02}, {"write_units": 4.0, "read_units": 16.0})
        terms = estimate.Terms("small", 3, costs, requests_per_second=1.0, tokens_per_minute=0.0)
        estimates = estimator.Estimator(find, asked, ledger, terms=terms, seconds=30.0, scratch=None)
        driven: Any = drives
        nothing_compared: Any = Uncompared()
        tokens = LocalTokens()
        ours = servicer.IngestServicer(
            ledger,
            find=find,
            stored=uploads.Uploads(s3, BUCKET),
            plans=shelf.Shelf(s3, BUCKET),
            tasks=driven,
            compares=nothing_compared,
            defaults=options.Defaults(),
            asked=asked,
            estimates=estimates,
            tokens=tokens,
            jobs=requests.Requests(
                ledger,
                manifest_client.Manifests(channel),
                objects=objects_of_manifests.Store(s3, BUCKET),
                find=find,
                prices=forecasts.Forecasts(manifest_client.Manifests(channel), terms),
                defaults=options.Defaults(),
                skips=True,
                tokens=tokens,
                work=threads.Pool(),
            ),
            found=kinds.Kinds({}),
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(ours, server)
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_servicer.LedgerServicer(line.book, store), server)
        no_index: Any = types.SimpleNamespace(index=None)
        knowledge = manifest_servicer.ManifestServicer(line.book, no_index, no_index)
        manifest_pb2_grpc.add_ManifestServiceServicer_to_server(knowledge, server)
        await server.start()
        yield Api(ingest_pb2_grpc.IngestServiceStub(channel), door, drives, line, local, tokens)
        await server.stop(None)


@pytest.fixture
async def scripted(metabase: str) -> AsyncIterator[httpx.AsyncClient]:
    """The stand-in's control API."""
    async with httpx.AsyncClient(base_url=metabase) as client:
        yield client

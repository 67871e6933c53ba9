"""Wires ingest."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import boto3
import grpc
from botocore import config
from vectorline.v1 import ingest_pb2_grpc

from services.chunks import inflight, presence, valkey_store
from services.chunks import settings as queue_settings
from services.ingest import ledger_client, manifest_client, servicer, settings, threads
from services.ingest.driving import comparisons, driver, merging, mirroring, removing, resubmitter, sweeping, trust
from services.ingest.estimating import estimator
from services.ingest.jobs import adopt, believing, forecasts, kinds, remove, repair, sampling, tools, verify
from services.ingest.jobs import requests as requests_of_jobs
from services.ingest.manifest import store
from services.ingest.planning import shelf
from services.ingest.sources import named, uploads
from services.ingest.sources.metabase import export as metabase_export
from services.runtime import aws, background, channels, health, lateness, secrets, server, tls
from services.runtime import settings as runtime_settings
from services.valkey import connection, rates, tokens
from services.valkey import health as valkey_health
from services.valkey import settings as valkey_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "vectorline.v1.IngestService"
LEDGER = "vectorline.v1.LedgerService"
MANIFESTS = "vectorline.v1.ManifestService"
# Who may call as a service of the line.
PEERS = frozenset({"ingest", "embedder", "indexer"})
S3_CONNECTIONS = 32
# For short calls: as many as S3 has connections, and some for hashes.
SHORT_CALLS = S3_CONNECTIONS + 8
# Exports of rejects that read the source at the same moment; others wait for a turn between two steps.
REREADS = 4
ANSWER_SECONDS = 20.0
# S3 takes minutes to put the parts of a large upload together (CompleteMultipartUpload's documentation).
COMPLETION_SECONDS = 300.0
# boto3 adds checksums of its own since 1.36, which many stores with S3's API refuse or do not answer.
_AS_STORES_UNDERSTAND: dict[str, Any] = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


@contextlib.asynccontextmanager
async def application(
    process: runtime_settings.ProcessSettings,
    *,
    allowed: settings.SourceSettings,
    requests: settings.RequestSettings,
    metabase: settings.MetabaseSettings,
    estimates: settings.EstimateSettings,
    splits: settings.SplitSettings,
    where: valkey_settings.ValkeySettings,
    cloud: aws.AwsSettings,
) -> AsyncIterator[server.Service]:
    """Everything that an ingest process is, closed again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(background.running("lateness", lateness.Lateness().run))
        asyncio.get_running_loop().set_default_executor(
            concurrent.futures.ThreadPoolExecutor(SHORT_CALLS, thread_name_prefix="call")
        )
        work = threads.Pool(splits.splitters + estimator.AT_ONCE, "work")
        stack.callback(work.close)
        rereads = threads.Pool(REREADS, "reread")
        stack.callback(rereads.close)
        client = connection.connect(where.url, proof=where.proof(secrets.renewed))
        stack.push_async_callback(client.aclose)
        channel = channels.connect(
            splits.indexer_addr,
            process.internal_token,
            name="indexer",
            files=tls.files(process),
            retried=({"service": LEDGER}, {"service": MANIFESTS}),
        )
        stack.push_async_callback(channel.close)
        objects = _s3(cloud, ANSWER_SECONDS)

        ledger = ledger_client.Ledger(channel, marks=splits.skip_unchanged)
        queue = valkey_store.ValkeyStore(
            client,
            queue_settings.Timing(
                split_seconds=splits.lease_seconds,
                lease_seconds=splits.lease_seconds,
                heartbeat_seconds=splits.heartbeat_seconds,
            ),
        )
        valkey = valkey_health.Server(client, queue.limits.queue_bytes, queue.fit)
        await valkey.begin()
        find = named.Sources(objects, allowed.allowed)
        stored = uploads.Uploads(objects, allowed.s3_bucket_name, patient=_s3(cloud, COMPLETION_SECONDS))
        plans = shelf.Shelf(objects, allowed.s3_bucket_name)
        exports = metabase_export.connect(metabase.metabase)
        stack.push_async_callback(exports.aclose)
        asked = metabase_export.Questions(exports, stored, metabase.metabase)
        manifests = manifest_client.Manifests(channel)
        kept = store.Store(objects, allowed.s3_bucket_name)
        merger = merging.Merger(ledger, manifests, kept, queue=queue, folder=allowed.scratch_folder, work=work)
        compares = comparisons.Comparisons(
            ledger,
            manifests,
            kept,
            merger,
            skips=splits.skip_unchanged,
            folder=allowed.scratch_folder,
            work=work,
        )
        remover = removing.Remover(ledger, manifests, kept, work=work)
        defaults = dataclasses.replace(requests.defaults, mirrors=splits.skip_unchanged)
        believed = believing.Believing(manifests, kept, merger)
        buying = sampling.Buying(ledger, queue, kept)
        with_tools = tools.Tools(ledger, manifests, kept, believed, buying, allowed.scratch_folder, work)
        repairs = repair.Repair(ledger, manifests, kept, folder=allowed.scratch_folder, work=work)
        jobs = kinds.Kinds(
            {
                "verify": verify.Verify(with_tools, repairs),
                "adopt": adopt.Adopt(with_tools),
                "remove": remove.Remove(with_tools, remover),
            }
        )
        drive = driver.Driver(
            ledger,
            queue,
            find=find,
            plans=plans,
            defaults=defaults,
            scratch=allowed.scratch_folder,
            compares=compares,
            mirrors=mirroring.Mirrors(ledger, compares, remover, guard_percent=splits.mirror_guard_percent),
            asked=asked,
            jobs=jobs,
            work=work,
        )
        tasks = resubmitter.Resubmitter(
            drive,
            ledger,
            inflight.InFlight(queue),
            presence.Presence(queue, resubmitter.PRESENCE),
            merger,
            splitters=splits.splitters,
            resubmit_seconds=splits.resubmit_seconds,
            presence_seconds=splits.heartbeat_seconds,
        )
        sweeper = sweeping.Sweeper(ledger, manifests, kept, queue=queue)
        await stack.enter_async_context(background.running("sweeping", sweeper.run))
        tasks.start()
        stack.push_async_callback(tasks.drain)
        priced = forecasts.Forecasts(manifests, estimates.terms)
        estimating = estimator.Estimator(
            find,
            asked,
            ledger,
            terms=estimates.terms,
            seconds=estimates.estimate_seconds,
            scratch=allowed.scratch_folder,
            work=work,
            foreseen=functools.partial(trust.foreseen, manifests, kept) if splits.skip_unchanged else estimator.nothing,
            deletes=priced.of_deletes,
        )
        known_tokens = tokens.ValkeyTokens(client)
        asked_jobs = requests_of_jobs.Requests(
            ledger,
            manifests,
            objects=kept,
            find=find,
            prices=priced,
            defaults=requests.defaults,
            skips=splits.skip_unchanged,
            tokens=known_tokens,
            work=work,
        )
        api = servicer.IngestServicer(
            ledger,
            find=find,
            stored=stored,
            plans=plans,
            tasks=tasks,
            compares=compares,
            defaults=defaults,
            asked=asked,
            estimates=estimating,
            rereads=rereads,
            tokens=known_tokens,
            jobs=asked_jobs,
            found=jobs,
        )

        def register(grpc_server: grpc.aio.Server) -> None:
            ingest_pb2_grpc.add_IngestServiceServicer_to_server(api, grpc_server)

        yield server.Service(
            names=(NAME,),
            register=register,
            dependencies={
                "indexer": health.Dependency(lambda: health.ask(channel, LEDGER)),
                # Tasks are taken while Valkey is away; they are published when it is back.
                "valkey": health.Dependency(valkey.probe, vital=False),
            },
            drain=tasks.drain,
            rate=rates.ValkeyRate(client),
            peers=PEERS,
        )


def _s3(cloud: aws.AwsSettings, answer_seconds: float) -> "S3Client":
    return boto3.client(
        "s3",
        region_name=cloud.aws_region,
        endpoint_url=cloud.aws_endpoint_url,
        config=config.Config(
            connect_timeout=3.0,
            read_timeout=answer_seconds,
            max_pool_connections=S3_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path" if cloud.aws_endpoint_url else "auto"},
            **(_AS_STORES_UNDERSTAND if cloud.aws_endpoint_url else {}),
        ),
    )

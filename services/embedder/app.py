"""Wires the embedder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

import grpc
from vectorline.v1 import embedder_pb2_grpc

from services.chunks import connection, consumer, presence, valkey_store, views
from services.chunks import settings as queue_settings
from services.embedder import (
    account,
    consuming,
    health_view,
    indexer_client,
    interactive,
    limiter,
    openai_client,
    packing,
    permits,
    purchasing,
    servicer,
    settings,
    worker,
)
from services.runtime import channels, health, server, valkey
from services.runtime import settings as runtime_settings

NAME = "vectorline.v1.EmbedderService"
INDEXER = "vectorline.v1.IndexerService"


@contextlib.asynccontextmanager
async def application(
    process: runtime_settings.ProcessSettings,
    embedding: settings.EmbeddingSettings,
    work: settings.WorkSettings,
    where: valkey.ValkeySettings,
) -> AsyncIterator[server.Service]:
    """Everything that an embedder process is, closed again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        client = connection.connect(where.url)
        stack.push_async_callback(client.aclose)
        token = process.internal_token.get_secret_value()
        channel = channels.connect(work.indexer_addr, token)
        stack.push_async_callback(channel.close)
        source = openai_client.OpenAI(embedding, connections=work.max_workers + 4)
        stack.push_async_callback(source.close)

        indexer = indexer_client.Indexer(channel, channels.internal_metadata(token))
        requests = packing.limits(embedding.openai_tokens_per_minute)
        limits = limiter.ValkeyLimiter(
            client,
            embedding.openai_model,
            limiter.Limits(embedding.openai_rate_limit, embedding.openai_tokens_per_minute, requests.tokens),
        )
        permit = permits.Permits(limits)
        purchases = purchasing.Purchasing(source, permit, limits, requests, requests_in_flight=work.max_workers)
        queue = valkey_store.ValkeyStore(client, _timing(work))
        chunks = consumer.Consumer(queue, slots=work.max_workers)
        workers = worker.Worker(
            chunks,
            indexer,
            purchases,
            model=embedding.openai_model,
            dimension=embedding.embedding_dimensions,
            exact_tokens=bool(embedding.openai_rate_limit or embedding.openai_tokens_per_minute),
        )
        consumption = consuming.Consuming(chunks, workers)
        probe = account.Account(limits, source, indexer, work.probe_seconds)
        for loop in (permit.run(), purchases.run(), probe.run(), _touch(limits)):
            _run_with(stack, loop)
        await consumption.start()
        stack.push_async_callback(consumption.close)

        view = health_view.HealthView(
            views.Views(queue),
            presence.Presence(queue, "ingest"),
            {"indexer": lambda: health.ask(channel, INDEXER)},
            environment=process.environment,
        )
        api = servicer.EmbedderServicer(
            interactive.Interactive(source, permit, limits),
            indexer,
            view,
            model=embedding.openai_model,
            default_namespace=work.pinecone_namespace,
        )

        def register(grpc_server: grpc.aio.Server) -> None:
            embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(api, grpc_server)

        yield server.Service(
            names=(NAME,),
            register=register,
            dependencies={
                "valkey": health.Dependency(client.ping),
                "indexer": health.Dependency(lambda: health.ask(channel, INDEXER)),
            },
            drain=consumption.drain,
        )


def _timing(work: settings.WorkSettings) -> queue_settings.Timing:
    return queue_settings.Timing(
        lease_seconds=work.lease_seconds,
        heartbeat_seconds=work.heartbeat_seconds,
        reclaim_seconds=work.reclaim_seconds,
        task_timeout_seconds=work.task_timeout,
    )


def _run_with(stack: contextlib.AsyncExitStack, loop: Coroutine[object, object, None]) -> None:
    task = asyncio.create_task(loop)
    stack.callback(task.cancel)


async def _touch(limits: limiter.ValkeyLimiter) -> None:
    """Begin to repay the starting debt of a new quota now, not when the first task comes."""
    while True:
        with contextlib.suppress(limiter.LimiterUnavailable):
            await limits.touch()
            return
        await asyncio.sleep(1.0)

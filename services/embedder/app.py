"""Wires the embedder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import structlog
from vectorline.v1 import embedder_pb2_grpc

from services.chunks import consumer, presence, valkey_store, views
from services.chunks import settings as queue_settings
from services.embedder import indexer_client, servicer, settings
from services.embedder.buying import (
    account,
    batching,
    interactive,
    packing,
    proof,
    shared_backoff,
    shared_sizes,
    tokens,
)
from services.embedder.limiter import permits, promise, request_sizes
from services.embedder.limiter import valkey as valkey_limiter
from services.embedder.openai import client as openai_client
from services.embedder.views import gauges, history, looks, monitoring
from services.embedder.views import health as health_view
from services.embedder.working import concurrency, consuming, unsettled, worker
from services.runtime import background, channels, health, lateness, secrets, server, tls
from services.runtime import settings as runtime_settings
from services.valkey import connection, rates
from services.valkey import health as valkey_health
from services.valkey import settings as valkey_settings
from services.valkey import tokens as tokens_of_keys

log = structlog.get_logger()

NAME = "vectorline.v1.EmbedderService"
INDEXER = "vectorline.v1.IndexerService"
# Who may call as a service of the line.
PEERS = frozenset({"ingest", "embedder", "indexer"})
# IndexChunk is left out: its caller holds the chunk and decides.
RETRIED = ({"service": "vectorline.v1.LedgerService"}, {"service": INDEXER, "method": "Query"})
# At a start of everything together the index is described after some seconds.
DIMENSION_LOG_EVERY = 30


@contextlib.asynccontextmanager
async def application(
    process: runtime_settings.ProcessSettings,
    embedding: settings.EmbeddingSettings,
    work: settings.WorkSettings,
    where: valkey_settings.ValkeySettings,
) -> AsyncIterator[server.Service]:
    """Everything that an embedder process is, closed again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        client = connection.connect(where.url, proof=where.proof(secrets.renewed))
        stack.push_async_callback(client.aclose)
        queue = valkey_store.ValkeyStore(client, _timing(work))
        valkey = valkey_health.Server(client, queue.limits.queue_bytes, queue.fit)
        await valkey.begin()
        token = process.internal_token
        channel = channels.connect(work.indexer_addr, token, name="indexer", files=tls.files(process), retried=RETRIED)
        stack.push_async_callback(channel.close)
        # New requests, those that are tried again (see `buying.slots`), searches and probes.
        source = openai_client.OpenAI(embedding, connections=2 * work.max_workers + 4)
        stack.push_async_callback(source.close)

        indexer = indexer_client.Indexer(channel, lambda: channels.internal_metadata(token))
        size = packing.RequestSize(embedding.openai_batch_inputs, embedding.openai_max_tokens_per_request)
        quota = promise.Quota(embedding.openai_rate_limit, embedding.openai_tokens_per_minute, packing.REQUEST_TOKENS)
        limiter = valkey_limiter.ValkeyLimiter(client, embedding.openai_model, quota)
        permit = permits.Permits(limiter, quota.tokens_per_second)
        known = proof.Proof(shared_backoff.SharedBackoff(source, limiter))
        counting = tokens.Counting(
            embedding.openai_model,
            request_limited=embedding.openai_rate_limit > 0,
            tokens_per_second=lambda: permit.tokens_per_second,
        )
        batcher = batching.Batcher(
            source,
            permit,
            limiter,
            size,
            requests_in_flight=work.max_workers,
            request_limited=embedding.openai_rate_limit > 0,
            known=known,
            count=counting.exact,
        )
        taught = shared_sizes.SharedSizes(batcher.sizes, request_sizes.ValkeySizes(client, embedding.openai_model))
        chunks = consumer.Consumer(queue, slots=work.max_workers)
        bought = tokens_of_keys.ValkeyTokens(client)
        stack.push_async_callback(bought.flush)
        late = lateness.Lateness(lateness.OFTEN_SECONDS)
        wanted = concurrency.Concurrency(work.max_workers, lambda: late.seconds)
        loose = unsettled.Unsettled(indexer)
        stack.push_async_callback(loose.flush)
        workers = worker.Worker(
            chunks,
            indexer,
            batcher,
            wanted,
            unsettled=loose,
            model=embedding.openai_model,
            dimension=source.dimension,
            count=counting.where_needed,
            spent=bought.spent,
        )
        consumption = consuming.Consuming(chunks, workers, batcher, wanted)
        probe = account.Account(limiter, source, indexer, work.probe_seconds)
        seen = looks.Looks(views.Views(queue), limiter)
        loops = {
            "permits": permit.run,
            "batching": batcher.run,
            "account": probe.run,
            "sizes": taught.run,
            "touch": lambda: _touch(limiter),
            "lateness": late.run,
            "tokens": bought.run,
            "unsettled": loose.run,
            "gauges": gauges.Gauges(seen).run,
        }
        for name, loop in loops.items():
            await stack.enter_async_context(background.running(name, loop))
        stack.push_async_callback(consumption.close)

        async def begin() -> None:
            source.dimension = workers.dimension = source.dimension or await _dimension_of_index(indexer)
            await consumption.start()

        await stack.enter_async_context(background.running("begin", begin))

        ingests = presence.Presence(queue, "ingest")
        view = health_view.HealthView(
            seen,
            ingests,
            {"indexer": lambda: health.ask(channel, INDEXER)},
            environment=process.environment,
        )
        monitor = monitoring.Monitoring(seen, view, model=embedding.openai_model, configured=quota)
        circuits = {"openai": batcher.circuit_open, "pinecone": indexer.circuit_open}
        line = history.History(monitor, ingests, circuits)
        await stack.enter_async_context(background.running("history", line.run))
        rate = rates.ValkeyRate(client)
        api = servicer.EmbedderServicer(
            interactive.Interactive(source, permit, limiter, known=known, counting=counting),
            indexer,
            view,
            monitor,
            line,
            model=embedding.openai_model,
            default_namespace=work.pinecone_namespace,
            rate=rate,
            tokens=bought,
        )

        def register(grpc_server: grpc.aio.Server) -> None:
            embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(api, grpc_server)

        yield server.Service(
            names=(NAME,),
            register=register,
            dependencies={
                # Needed to start. Later every replica would lack them alike: turning away from all of them would only
                # put a 503 of the gateway in place of our own words (GetHealth says what is down).
                "valkey": health.Dependency(valkey.probe, vital=False),
                "indexer": health.Dependency(lambda: health.ask(channel, INDEXER), vital=False),
            },
            drain=consumption.drain,
            rate=rate,
            peers=PEERS,
        )


def _timing(work: settings.WorkSettings) -> queue_settings.Timing:
    return queue_settings.Timing(
        lease_seconds=work.lease_seconds,
        heartbeat_seconds=work.heartbeat_seconds,
        reclaim_seconds=work.reclaim_seconds,
        task_timeout_seconds=work.task_timeout,
    )


async def _dimension_of_index(indexer: indexer_client.Indexer) -> int:
    """What to ask OpenAI for where nothing else was chosen; nothing can be bought before the index was described."""
    asked = 0
    while True:
        with contextlib.suppress(indexer_client.IndexerUnavailable):
            if dimension := await indexer.index_dimension():
                log.info("The index says how wide vectors are.", action="dimension_known", dimension=dimension)
                return dimension
        asked += 1
        if asked % DIMENSION_LOG_EVERY == 0:
            words = "Nothing can be bought: the index cannot be asked how wide its vectors are."
            log.warning(words, action="dimension_unknown", seconds=asked)
        await asyncio.sleep(1.0)


async def _touch(limiter: promise.Limiter) -> None:
    """Begin to repay the starting debt of a new quota now, not when the first task comes."""
    while True:
        with contextlib.suppress(promise.LimiterUnavailable):
            await limiter.touch()
            return
        await asyncio.sleep(1.0)

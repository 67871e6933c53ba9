"""Wires the indexer."""

import contextlib
from collections.abc import AsyncIterator

import grpc
from vectorline.v1 import ledger_pb2_grpc, manifest_pb2_grpc

from services.billing import prices
from services.indexer import (
    index_watch,
    indexing,
    ledger,
    manifest_servicer,
    mirror_watch,
    removing,
    servicer,
    settings,
)
from services.indexer.ledger import servicer as ledger_servicer
from services.indexer.pinecone import client, deletes, reading, rest, transport, wire, writer
from services.indexer.storage import clock, dynamodb, rejects
from services.indexer.tasks import costs, gauges
from services.indexer.tasks import servicer as task_servicer
from services.runtime import aws, background, health, lateness, server

NAMES = (servicer.SERVICE, "vectorline.v1.LedgerService", manifest_servicer.SERVICE)
# Who may call as a service of the line.
PEERS = frozenset({"ingest", "embedder", "indexer"})
# Asked again before every purchase.
QUIET = ("/vectorline.v1.LedgerService/", f"/{manifest_servicer.SERVICE}/", f"/{servicer.SERVICE}/IndexChunk")

# For what callers and operators ask about tasks.
READ_THREADS = 8


@contextlib.asynccontextmanager
async def application(
    where: aws.CallerSettings,
    rules: settings.LedgerSettings,
    kept: settings.RejectSettings,
    pinecone: settings.PineconeSettings,
    known: prices.Prices,
) -> AsyncIterator[server.Service]:
    """Everything that an indexer process is, closed again at the end."""
    async with contextlib.AsyncExitStack() as stack:
        watch = clock.Clock()
        tables = aws.Caller("DynamoDB", where, watch)
        stack.callback(tables.close)
        objects = aws.Caller("S3", where)
        stack.callback(objects.close)
        # Of its own: however many ask for tasks, what a purchase or a settlement waits for does not queue behind them.
        reads = aws.Caller("DynamoDB", where.model_copy(update={"aws_threads": READ_THREADS}), watch)
        stack.callback(reads.close)
        store = rejects.RejectStore(aws.s3(where), kept.s3_bucket_name, objects)

        index = client.Pinecone(pinecone)
        stack.push_async_callback(index.close)
        by_grpc = wire.Wire(index, pinecone.pinecone_api_key, rules.upsert_deadline_seconds)
        stack.push_async_callback(by_grpc.close)
        by_rest = rest.Rest(index, rules.upsert_deadline_seconds)
        way = transport.Transport(index, by_grpc, by_rest, pinecone.pinecone_transport)
        upserts = writer.Upserts(way, most_vectors=pinecone.pinecone_batch_size)

        def over(caller: aws.Caller) -> ledger.Ledger:
            return ledger.Ledger(
                dynamodb.DynamoTable(aws.dynamodb(where), rules.dynamodb_table_name, caller),
                watch,
                index=pinecone.pinecone_index_name,
                upsert_deadline_seconds=rules.upsert_deadline_seconds,
                circuit_open=lambda: upserts.circuit.open,
                circuit_why=lambda: upserts.circuit.why,
                index_dimension=lambda: index.dimension,
                index_problem=lambda: index.problem or upserts.exhausted,
                look_again=index.look_again,
                holds=index.holds,
            )

        book, views = over(tables), over(reads)
        book.spending.days.told = costs.Costs(known).count
        tasks = task_servicer.TaskServicer(views, rules, known)
        records = reading.Reading(index, way)
        permissions = indexing.Permissions(book)
        api = servicer.IndexerServicer(
            tasks, book, records, upserts, store, rules=rules, permissions=permissions, views=views
        )
        alarms = gauges.Gauges(views, rules.stall_seconds)
        await stack.enter_async_context(background.running("gauges", alarms.run))
        await stack.enter_async_context(background.running("lateness", lateness.Lateness().run))
        stack.push_async_callback(book.spending.flush)  # once the loop below has ended
        await stack.enter_async_context(background.running("spending", book.spending.run))
        followed = index_watch.IndexWatch(index, book)
        await stack.enter_async_context(background.running("index_watch", followed.run))
        await stack.enter_async_context(background.running("mirror_watch", mirror_watch.MirrorWatch(book).run))
        internal = ledger_servicer.LedgerServicer(book, store, index.ask_dimension, index.count)
        remover = removing.Remover(book, records, deletes.Deletes(way, upserts.circuit), permissions)
        knowledge = manifest_servicer.ManifestServicer(book, records, remover)

        def register(grpc_server: grpc.aio.Server) -> None:
            servicer.register(api, grpc_server)
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server(internal, grpc_server)
            manifest_pb2_grpc.add_ManifestServiceServicer_to_server(knowledge, grpc_server)

        yield server.Service(
            names=NAMES,
            register=register,
            peers=PEERS,
            quiet=QUIET,
            dependencies={
                # All indexers have the same table: were it vital, a throttled one took all of them away, and callers
                # heard a gateway's 503 where these say what does not answer.
                "dynamodb": health.Dependency(book.probe, vital=False),
                # Needed to start; an outage later stops the buying through the gate, not the status answers.
                "pinecone": health.Dependency(index.index, vital=False),
            },
        )

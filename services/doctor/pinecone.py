"""Pinecone: the index, its kind and width, what its namespace holds, and whether the key may read, write and delete."""

import array
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pinecone.errors

from services.doctor import finding, told
from services.embedder import settings as embedder_settings
from services.indexer import ledger, settings
from services.indexer.pinecone import batch, client, rest, transport, wire
from services.indexer.storage import clock, dynamodb
from services.ingest import settings as ingest_settings
from services.runtime import aws, errors
from services.runtime import settings as runtime_settings

ABOUT = finding.About("pinecone")
SECTIONS = (settings.PineconeSettings, settings.LedgerSettings)
# Of our own, so that a probe is never found by a search.
NAMESPACE = "vectorline-doctor"
PROBE = "doctor"
KEY_REMEDY = "Look at PINECONE_API_KEY: its project, and that its role may read and write data."
AWAY_REMEDY = "Look at PINECONE_CONTROLLER_HOST, the way out of here, and https://status.pinecone.io."


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Describe the index, and use it as the indexer does."""
    wanted = knows.of(settings.PineconeSettings)
    index = client.Pinecone(wanted)
    try:
        try:
            found = await index.index()
        except errors.Unavailable as error:
            yield _away(error)
            return
        if found.problem:
            yield ABOUT.broken("kind", found.problem, "`vectorline init` makes one that fits, under another name.")
            return
        yield ABOUT.ok("kind", f"the index {found.name} takes dense vectors")
        yield _dimension(knows, found)
        yield _metric(wanted, found)
        yield await _namespace(knows, found)
        async for used in _permissions(knows, index, found.dimension):
            yield used
    finally:
        await index.close()


def _away(error: errors.Unavailable) -> finding.Finding:
    if error.reason == "INDEX_MISSING":
        return ABOUT.broken("index", error.message, "Run `vectorline init`, or look at PINECONE_INDEX_NAME.")
    if _status(error.__cause__) in {401, 403}:
        return ABOUT.broken("key", "the key is refused", KEY_REMEDY)
    cause = type(error.__cause__).__name__ if error.__cause__ else ""
    return ABOUT.broken("answer", f"{error.message}{f' ({cause})' if cause else ''}", AWAY_REMEDY)


def _status(error: BaseException | None) -> int:
    return int(getattr(error, "status_code", 0) or 0)


def _dimension(knows: told.Told, found: client.Index) -> finding.Finding:
    with contextlib.suppress(runtime_settings.Wrong):
        chosen = knows.of(embedder_settings.EmbeddingSettings).embedding_dimensions
        if chosen and chosen != found.dimension:
            words = f"the index takes {found.dimension} values a vector, EMBEDDING_DIMENSIONS is {chosen}"
            return ABOUT.broken("dimension", words, "Make them agree, or leave EMBEDDING_DIMENSIONS out.")
    return ABOUT.ok("dimension", f"{found.dimension} values a vector")


def _metric(wanted: settings.PineconeSettings, found: client.Index) -> finding.Finding:
    if found.metric and found.metric != wanted.pinecone_metric:
        words = f"the index compares by {found.metric}, PINECONE_METRIC is {wanted.pinecone_metric}"
        return ABOUT.warning("metric", words, "Scores mean something else: make them agree.")
    return ABOUT.ok("metric", found.metric or "not said")


async def _namespace(knows: told.Told, found: client.Index) -> finding.Finding:
    """What the ledger says of the namespace that requests go to, against the model that is configured here."""
    try:
        namespace = knows.of(ingest_settings.RequestSettings).pinecone_namespace
        model = knows.of(embedder_settings.EmbeddingSettings).openai_model
        held = await _held(knows, namespace)
    except runtime_settings.Wrong:
        words = "OPENAI_MODEL and PINECONE_NAMESPACE are not known here, so nothing could be compared"
        return ABOUT.warning("namespace", words, "Look from where the embedder's settings are set too.")
    except errors.Unavailable:
        words = "the ledger, which knows what a namespace holds, does not answer"
        return ABOUT.warning("namespace", words, "See dynamodb.")
    wanted = ledger.namespaces.Kind(model, found.dimension)
    if held is None:
        return ABOUT.ok("namespace", f"{namespace!r} holds nothing of this line yet")
    if held != wanted:
        words = f"{namespace!r} holds vectors of {held}, the line would write {wanted}"
        remedy = "Set OPENAI_MODEL to what it holds, or PINECONE_NAMESPACE to another one."
        return ABOUT.broken("namespace", words, remedy)
    return ABOUT.ok("namespace", f"{namespace!r} holds vectors of {held}")


async def _held(knows: told.Told, namespace: str) -> ledger.namespaces.Kind | None:
    where = knows.of(aws.CallerSettings)
    caller = aws.Caller("DynamoDB", where.model_copy(update={"aws_threads": 1, "aws_retry_seconds": 1.0}))
    try:
        name = knows.of(settings.LedgerSettings).dynamodb_table_name
        index = knows.of(settings.PineconeSettings).pinecone_index_name
        book = ledger.Ledger(dynamodb.DynamoTable(aws.dynamodb(where), name, caller), clock.Clock(), index=index)
        try:
            return await book.namespaces.holds(namespace)
        except Exception as error:  # refused or away: `dynamodb` says which
            raise errors.Unavailable("The ledger does not answer.") from error
    finally:
        caller.close()


async def _permissions(knows: told.Told, index: client.Pinecone, dimension: int) -> AsyncIterator[finding.Finding]:
    """Write, find and delete a vector of our own."""
    wanted = knows.of(settings.PineconeSettings)
    deadline_seconds = knows.of(settings.LedgerSettings).upsert_deadline_seconds
    by_grpc = wire.Wire(index, wanted.pinecone_api_key, deadline_seconds)
    way = transport.Transport(index, by_grpc, rest.Rest(index, deadline_seconds), wanted.pinecone_transport)
    values = array.array("f", (1.0, *(0.0 for _ in range(dimension - 1)))).tobytes()
    probe = batch.Batch([batch.Vector(PROBE, memoryview(values), b"")], NAMESPACE)
    try:
        chosen = await way.way()
        written = await chosen.upsert(probe)
    except batch.IndexExhausted as error:
        yield ABOUT.broken("write", f"a quota is used up: {error}", "Take a higher plan, delete records, or wait.")
    except (batch.IndexRefused, batch.IndexUnavailable) as error:
        yield ABOUT.broken("write", f"a vector is refused: {error}", f"{KEY_REMEDY} {AWAY_REMEDY}")
    else:
        by = "gRPC" if chosen is by_grpc else "REST"
        yield ABOUT.ok("write", f"{written.count} vector was written over {by}")
    finally:
        await by_grpc.close()
    data, _ = await index.data_plane()
    uses: Iterator[tuple[str, Any]] = iter(
        (
            ("read", lambda: data.query(vector=[1.0] * dimension, namespace=NAMESPACE, top_k=1)),
            ("delete", lambda: data.delete(ids=[PROBE], namespace=NAMESPACE)),
        )
    )
    for part, use in uses:
        try:
            await use()
        except pinecone.errors.PineconeError as error:
            refused = _status(error) in {401, 403}
            words = "the key may not" if refused else f"it fails ({type(error).__name__})"
            yield ABOUT.broken(part, words, KEY_REMEDY if refused else AWAY_REMEDY)
        else:
            yield ABOUT.ok(part, "the key may")

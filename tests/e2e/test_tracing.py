"""A load with a collector of traces beside the line: the whole way of a chunk, from the gateway to the ack."""

import json
from collections.abc import Iterator

import pytest

from sandbox.traces import sink, tree
from tests.support import csvs
from tests.support import line as lines
from tests.unit.runtime.tracing import test_spans

ROWS = 10_300  # 103 chunks of 100 rows: every second one is followed
CHUNKS = 52


@pytest.fixture(scope="module")
def collector() -> Iterator[sink.Sink]:
    with sink.Sink() as running:
        yield running


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: sink.Sink) -> Iterator[lines.Line]:
    folder = tmp_path_factory.mktemp("traced")
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with lines.running(folder, OPENAI_RATE_LIMIT="0", SANDBOX_OPENAI_VECTORS="canned", **settings) as running:
        yield running


def trees(collector: sink.Sink, task_id: str) -> list[tree.Node]:
    """Of the requests that published chunks of this task."""
    spans = collector.spans
    found = [tree.of(spans, span) for span in tree.roots(spans)]
    return [
        each
        for each in found
        if any(node.span.attributes.get("task_id") == task_id for node in each.named("chunk") if node.linked)
    ]


@pytest.fixture(scope="module")
def request_tree(traced: lines.Line, collector: sink.Sink) -> tree.Node:
    task_id = traced.upload(csvs.of(csvs.rows(ROWS)), namespace="traced", chunk_size=100)
    assert traced.finished(task_id)["status"] == "completed"

    def whole() -> tree.Node | None:
        """Each process sends its own, a moment later; what a span holds came before it."""
        found = trees(collector, task_id)
        chunks = found[0].named("chunk") if found else []
        acks = sum(len(node.named("ack")) for node in chunks)
        indexed = sum(
            node.span.service == "vectorline-indexer"
            for chunk in chunks
            for node in chunk.named("IndexerService/IndexChunk")
        )
        return found[0] if acks >= CHUNKS and indexed >= CHUNKS else None

    return lines.wait_for("all spans", whole)


def test_the_request_goes_from_the_gateway_to_ingest_and_the_ledger(request_tree: tree.Node) -> None:
    assert (request_tree.span.service, request_tree.span.parent_id) == ("vectorline-gateway", "")
    (upload,) = request_tree.named("IngestService/Upload")
    assert upload.span.service == "vectorline-ingest"
    create = upload.named("LedgerService/CreateTask")
    assert [node.span.service for node in create] == ["vectorline-ingest", "vectorline-indexer"]
    assert create[1].named("DynamoDB PutItem")
    assert upload.named("scan")[0].named("LedgerService/EndScan")
    assert not upload.named("LedgerService/AcquireTurn"), "what is asked in rounds is part of no request"


def test_at_most_a_hundred_chunks_of_a_task_are_followed_evenly_spread(request_tree: tree.Node) -> None:
    published = [node.span.attributes["chunk"] for node in request_tree.named("publish")]
    assert sorted(published) == list(range(0, 103, 2))
    assert len(published) == CHUNKS
    worked = [node for node in request_tree.named("chunk") if node.linked]
    assert sorted(node.span.attributes["chunk"] for node in worked) == sorted(published)


def test_a_chunks_trace_is_its_own_linked_to_where_it_was_published(request_tree: tree.Node) -> None:
    for publish in request_tree.named("publish"):
        (chunk,) = publish.parts
        assert chunk.linked
        assert chunk.span.links == (publish.span.span_id,)
        assert chunk.span.trace_id != publish.span.trace_id
        assert (chunk.span.parent_id, chunk.span.kind) == ("", "CONSUMER")
        assert chunk.span.attributes["end"] == "settled"
        assert chunk.span.began >= publish.span.began


def test_the_tree_of_a_chunk_shows_where_its_time_went(request_tree: tree.Node) -> None:
    for publish in request_tree.named("publish"):
        chunk = publish.parts[0]
        services = {node.span.service for node in chunk.walk()}
        assert services == {"vectorline-embedder", "vectorline-indexer"}
        for name in ("decode", "gate", "ack"):
            assert len(chunk.named(name)) == 1, name
        requests = [node.span.attributes["texts"] for node in chunk.named("OpenAI embeddings")]
        assert sum(requests) == 100, "each request that held texts of the chunk, however many chunks it was for"
        calls = chunk.named("IndexerService/IndexChunk")
        assert [node.span.service for node in calls] == ["vectorline-embedder", "vectorline-indexer"]
        assert calls[1].named("Pinecone Upsert")
        assert calls[1].named("settle")
        assert {node.span.trace_id for node in chunk.walk()} == {chunk.span.trace_id}
        begun = [
            chunk.named(name)[0].span.began for name in ("decode", "gate", "OpenAI embeddings", "IndexChunk", "ack")
        ]
        assert begun == sorted(begun)
        assert chunk.span.ended >= max(
            node.span.ended for node in chunk.walk() if node.span.service.endswith("embedder")
        )
    settled = [node for node in request_tree.named("settle") if node.named("UpdateItem")]
    assert settled, "the ledger's part: chunks that settle together share one call"


def test_log_lines_name_the_trace(traced: lines.Line, request_tree: tree.Node) -> None:
    found = {
        each["trace_id"]: each["service"]
        for file in (traced.folder / "logs").glob("*.log")
        for text in file.read_text().splitlines()
        if text.startswith("{") and "trace_id" in (each := json.loads(text))
    }
    assert found[request_tree.span.trace_id] in {"ingest", "indexer"}


def test_a_callers_own_trace_goes_on_and_one_that_is_not_recorded_is_not(
    traced: lines.Line, collector: sink.Sink
) -> None:
    """The flags may say more than "sampled"."""
    wanted, unwanted = f"00-{'a' * 32}-{'b' * 16}-03", f"00-{'c' * 32}-{'d' * 16}-00"
    for traceparent in (unwanted, wanted):
        answer = traced.rest.get("/api/v1/tasks", headers={"traceparent": traceparent})
        assert answer.status_code == 200

    arrived = lines.wait_for(
        "its spans",
        lambda: [each for each in collector.spans if each.trace_id == "a" * 32 and "DynamoDB" in each.name] or None,
    )

    assert {each.service for each in arrived} == {"vectorline-indexer"}
    assert not [each for each in collector.spans if each.trace_id == "c" * 32]
    assert test_spans.TRACE not in {each.trace_id for each in collector.spans}


def test_a_search_is_one_trace_from_the_gateway_to_the_index(
    traced: lines.Line, request_tree: tree.Node, collector: sink.Sink
) -> None:
    answer = traced.rest.post("/api/v1/search", json={"text": "something", "namespace": "traced"})
    assert answer.status_code == 200

    def whole() -> tree.Node | None:
        spans = collector.spans
        several = [tree.of(spans, span) for span in tree.roots(spans)]
        return next((each for each in several if each.named("Query") and each.named("Search")), None)

    found = lines.wait_for("its spans", whole)
    (search,) = found.named("EmbedderService/Search")
    assert len(search.named("OpenAI embeddings")) == 1
    assert next(node.span.service for node in search.named("IndexerService/Query")) == "vectorline-embedder"


def test_the_tree_is_printed_with_milliseconds(request_tree: tree.Node) -> None:
    text = list(tree.lines(tree.only_chunk(request_tree, 2)))
    assert sum("publish" in line for line in text) == 1
    assert [line for line in text if "⇢ chunk" in line and "chunk=2 end=settled" in line]
    for line in text[1:]:
        float(line.split()[0])
        assert float(line.split()[1]) >= 0.0

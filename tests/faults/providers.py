"""OpenAI and Pinecone on their bad days."""

import time
from collections.abc import Callable
from typing import Any

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene
from tests.support import csvs
from tests.support.line import wait_for

SLOW = {"kind": "delay", "delay_ms": 250}


def openai(*rules: dict[str, Any], rows: int = 2_000, within: float = 60) -> Callable[[Scene], None]:
    """These rules hold from the task's beginning; those with `times` end by themselves."""

    def act(scene: Scene) -> None:
        scene.struck()
        scene.stage.openai_faults(*rules)
        job = scene.upload(rows)
        scene.finish(job, within=within)

    return act


def storm(scene: Scene) -> None:
    """429 with retry-after 3 for every call: nobody calls before its end, and no delivery is burnt."""
    scene.slow(100)
    job = scene.upload(3_000)
    job.wait_chunks(4)
    with scene.fault():
        scene.stage.openai_faults({"kind": "status", "body": "rate_limit", "times": 4, "retry_after_seconds": 3}, SLOW)
        wait_for("the first 429", lambda: scene.stage.journal()["summary"]["too_many_requests"])
    scene.finish(job)
    visits = scene.stage.journal(None)["requests"]
    refused = [each for each in visits if each["status"] == 429]
    # Those under way when the first 429 came could not know of it.
    known = refused[0]["monotonic"] + 0.5
    early = [each for each in visits if known < each["monotonic"] < refused[0]["monotonic"] + 3 - 0.05]
    assert not early, f"{len(early)} calls came before the pause ended"
    with scene.stage.redis() as client:
        assert not list(client.scan_iter("{vectorline}:strikes:*"))


def account(body: str, code: int | None = None) -> Callable[[Scene], None]:
    """The account refuses: blocked within 10 s; few calls; then one probe an interval; it goes on by itself."""

    def act(scene: Scene) -> None:
        scene.probed = True
        scene.slow(250)
        job = scene.upload(2_500)
        job.wait_chunks(3)
        refusal: dict[str, Any] = {"kind": "status", "body": body}
        if code:
            refusal["code"] = code
        began = time.time()
        scene.struck()
        scene.stage.openai_faults(refusal)
        job.wait_status("blocked", 10)
        wait_for("the last calls", lambda: not scene.stage.journal()["summary"]["in_flight"])
        before = scene.stage.journal()["summary"]["requests"]
        first = [
            each for each in scene.stage.journal(None)["requests"] if each["unix"] > began and each["fault"] == "status"
        ]
        assert len(first) <= stages.EMBEDDERS * stages.MAX_WORKERS + 1, f"{len(first)} calls to an account that refuses"
        scene.hold(7)
        probes = scene.stage.journal()["summary"]["requests"] - before
        assert 1 <= probes <= 5, f"{probes} probes in 7 s, one each 2 s was due"
        assert job.status == "blocked"
        scene.stage.openai_faults(SLOW)
        scene.lifted()
        scene.finish(job)

    return act


def refused_rows(scene: Scene) -> None:
    """400 for one text: its row fails by name, its neighbours are bought."""
    scene.stage.openai_faults({"kind": "bad_row", "match_text": csvs.text_of(1234)})
    job = scene.upload(2_000)
    job.refused = {1234: "embedding_refused"}
    scene.finish(job)


def pinecone(*rules: dict[str, Any], rows: int = 2_000) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.struck()
        scene.stage.pinecone_faults(*rules)
        job = scene.upload(rows)
        scene.finish(job)

    return act


def lasting(rule: dict[str, Any], seconds: float) -> Callable[[Scene], None]:
    """A fault of Pinecone for so long."""

    def act(scene: Scene) -> None:
        scene.slow(150)
        job = scene.upload(2_500)
        job.wait_chunks(3)
        with scene.fault():
            scene.stage.pinecone_faults(rule)
            scene.hold(seconds)
            scene.stage.pinecone_faults()
        assert job.status == "processing_chunks"
        scene.finish(job)

    return act


def outage(scene: Scene) -> None:
    """Pinecone is away: nothing is bought but what the embedders have in hand already."""
    scene.slow(150)
    job = scene.upload(4_000)
    job.wait_chunks(3)
    with scene.fault():
        scene.stage.pinecone_faults({"kind": "outage"})
        settled = job.chunks
        at_first = scene.stage.journal()["summary"]["inputs_bought"]
        scene.hold(5)
        early = scene.stage.journal()["summary"]["inputs_bought"]
        scene.hold(20)
        late = scene.stage.journal()["summary"]["inputs_bought"]
        assert late == early, f"{late - early} texts were bought while the circuit was open"
        assert early - at_first <= stages.EMBEDDERS * stages.IN_HAND + (job.chunks - settled) * stages.CHUNK_ROWS
        assert job.seen[-1][1].get("stalled_since"), "a stalled task must show it"
        scene.stage.pinecone_faults()
    scene.finish(job)


def refused_record(scene: Scene) -> None:
    scene.stage.pinecone_faults({"kind": "refuse_record", "op": "upsert", "match_id": "232.i777"})
    job = scene.upload(1_500)
    job.refused = {777: "index_refused"}
    scene.finish(job)


def status(code: int, **details: Any) -> dict[str, Any]:
    return {"kind": "status", "op": "upsert", "status": code, **details}


CELLS = [
    Cell("OpenAI: 429 storm with retry-after 3", storm),
    Cell(
        "OpenAI: 429 without retry-after",
        openai({"kind": "status", "body": "rate_limit", "times": 5, "retry_after": "absent"}),
    ),
    Cell(
        "OpenAI: 429 with an absurd retry-after",
        openai({"kind": "status", "body": "rate_limit", "times": 1, "retry_after": "absurd"}, within=200),
    ),
    Cell("OpenAI: insufficient_quota", account("insufficient_quota", 429), fast=True),
    Cell("OpenAI: 401", account("invalid_api_key")),
    Cell("OpenAI: 403", account("no_access")),
    Cell("OpenAI: the model is unknown", account("model_not_found")),
    Cell("OpenAI: 30 % 5xx", openai({"kind": "status", "body": "server_error", "probability": 0.3}), fast=True),
    Cell("OpenAI: 503 six times in a row", openai({"kind": "status", "body": "overloaded", "times": 6})),
    Cell("OpenAI: two calls hang", openai({"kind": "hang", "times": 2})),
    Cell("OpenAI: four connections reset", openai({"kind": "reset", "times": 4})),
    Cell("OpenAI: two connections reset once bought", openai({"kind": "reset", "times": 2, "after_work": True})),
    Cell("OpenAI: two truncated answers", openai({"kind": "truncate", "times": 2})),
    Cell("OpenAI: two pages of HTML", openai({"kind": "html", "times": 2})),
    Cell("OpenAI: n-1 embeddings, twice", openai({"kind": "missing", "times": 2}), fast=True),
    Cell("OpenAI: every answer shuffled", openai({"kind": "shuffle"})),
    Cell("OpenAI: wrong dimension, twice", openai({"kind": "wrong_dimension", "times": 2})),
    Cell("OpenAI: NaN, twice", openai({"kind": "nan", "times": 2})),
    Cell("OpenAI: a zero vector, twice", openai({"kind": "zero_vector", "times": 2})),
    Cell("OpenAI: 400 for one row", refused_rows, fast=True),
    Cell("Pinecone: 429 thirty times", pinecone(status(429, times=30, retry_after=1)), fast=True),
    Cell("Pinecone: 500 thirty times", pinecone(status(500, times=30))),
    Cell("Pinecone: a third of all upserts 503", pinecone(status(503, probability=0.33))),
    Cell("Pinecone: five connections reset", pinecone({"kind": "reset", "op": "upsert", "times": 5})),
    Cell(
        "Pinecone: written, but the answer is lost",
        pinecone({"kind": "reset", "op": "upsert", "times": 5, "when": "after"}),
    ),
    Cell(
        "Pinecone: slower than the deadline, three times",
        pinecone({"kind": "slow", "op": "upsert", "delay_ms": 5_000, "times": 3}),
    ),
    Cell("Pinecone: hangs for 8 s", lasting({"kind": "hang", "op": "upsert"}, 8)),
    Cell("Pinecone: half of a batch, five times", pinecone({"kind": "partial", "op": "upsert", "times": 5}), fast=True),
    Cell("Pinecone: refuses one record", refused_record, fast=True),
    Cell("Pinecone: 403 for 6 s", lasting(status(403), 6)),
    Cell("Pinecone: 404 index for 6 s", lasting(status(404), 6)),
    Cell("Pinecone: an outage of 25 s stops the buying", outage),
]

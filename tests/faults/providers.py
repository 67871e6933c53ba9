"""OpenAI and Pinecone on their bad days."""

import itertools
import time
from collections.abc import Callable
from typing import Any

from tests.faults import stage as stages
from tests.faults import valkey
from tests.faults.cells import Cell
from tests.faults.scene import Scene
from tests.faults.valkey import ALL_IN_HAND
from tests.support import csvs
from tests.support.line import wait_for

SLOW = {"kind": "delay", "delay_ms": 250}
PROBE_SECONDS = float(stages.BASE["PROBE_SECONDS"])
# A grant is dropped when its answer is so old.
UNDER_WAY_SECONDS = 0.5
# The longest pause that a header is believed.
BELIEVED_SECONDS = 120
# So few calls that the refusal of one is known before the next may start.
SELDOM = {"OPENAI_RATE_LIMIT": "10"}


def openai(*rules: dict[str, Any], rows: int = 1_000, within: float = 60) -> Callable[[Scene], None]:
    """These rules hold from the task's beginning; those with `times` end by themselves."""

    def act(scene: Scene) -> None:
        scene.struck()
        scene.stage.openai_faults(*rules)
        job = scene.upload(rows)
        scene.finish(job, within=within)

    return act


def storm(scene: Scene) -> None:
    """429 with retry-after 3 for every call: nobody calls before the end of any, and no delivery is burnt."""
    scene.slow(100)
    job = scene.upload(2 * stages.MID_WORK)  # more than four calls are left when the first are under way
    job.wait_chunks(4)
    with scene.fault():
        scene.stage.openai_faults({"kind": "status", "body": "rate_limit", "times": 4, "retry_after_seconds": 3}, SLOW)
        wait_for("the last 429", lambda: scene.stage.journal()["summary"]["too_many_requests"] >= 4)
        # Longer than a lease, so that a chunk that was let go would have been taken again by now.
        scene.hold(2.5)
        deliveries = valkey.deliveries(scene)
        assert deliveries
        assert set(deliveries) == {1}, f"deliveries were burnt: {deliveries}"
    scene.finish(job)
    visits = [each["monotonic"] for each in scene.stage.journal(None)["requests"]]
    refused = [each["monotonic"] for each in scene.stage.journal(None)["requests"] if each["status"] == 429]
    for at in refused:
        # Those under way when it came could not know of it.
        early = [each for each in visits if at + UNDER_WAY_SECONDS < each < at + 3 - 0.05]
        assert not early, f"{len(early)} calls came before the pause ended"
    with scene.stage.redis() as client:
        assert not list(client.scan_iter("{vectorline}:strikes:*"))


def absurd(scene: Scene) -> None:
    """429 with a week to wait: the line believes two minutes of it, and goes on by itself."""
    scene.struck()
    scene.stage.openai_faults({"kind": "status", "body": "rate_limit", "times": 1, "retry_after": "absurd"})
    job = scene.upload(1_000)
    wait_for("the 429", lambda: scene.stage.journal()["summary"]["too_many_requests"])
    at = time.monotonic()
    calls = scene.stage.journal()["summary"]["requests"]
    wait_for("the next call", lambda: scene.stage.journal()["summary"]["requests"] > calls, BELIEVED_SECONDS + 15)
    assert time.monotonic() - at > BELIEVED_SECONDS - 5
    scene.lifted()
    scene.finish(job)


def account(body: str, code: int | None) -> Callable[[Scene], None]:
    """The account refuses: blocked within 10 s, then one probe an interval for all replicas.

    It goes on by itself when the account is good again. Each replica calls three times at most: two requests that were
    under way are not called back, and where a refusal might be about a text a harmless one is tried.
    """

    def act(scene: Scene) -> None:
        scene.slow(250)
        job = scene.upload(stages.MID_WORK)
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
        assert len(first) <= 3 * stages.EMBEDDERS, f"{len(first)} calls to an account that refuses"
        scene.hold(3.5 * PROBE_SECONDS)
        probes = [each["monotonic"] for each in scene.stage.journal(None)["requests"]][before:]
        # Looked for four times an interval, so that one probe in 1.25 intervals is the least.
        assert 2 <= len(probes) <= 4, f"{len(probes)} probes in 3.5 intervals of the whole line"
        assert min(after - probe for probe, after in itertools.pairwise(probes)) > 0.8 * PROBE_SECONDS
        assert job.status == "blocked"
        scene.stage.openai_faults(SLOW)
        scene.lifted()
        scene.finish(job)

    return act


def refusing(name: str, body: str, code: int | None = None) -> Cell:
    """A cell of an account that refuses: what was bought of a task that is blocked then is bought again."""
    return Cell(name, account(body, code), twice=ALL_IN_HAND, settings=SELDOM, patient=True)


def refused_rows(scene: Scene) -> None:
    """400 for one text: its row fails by name, its neighbours are bought."""
    scene.stage.openai_faults({"kind": "bad_row", "match_text": csvs.text_of(834)})
    job = scene.upload(1_000)
    job.refused = {834: "embedding_refused"}
    scene.finish(job)


def pinecone(*rules: dict[str, Any], rows: int = 1_000) -> Callable[[Scene], None]:
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
        job = scene.upload(stages.MID_WORK)
        job.wait_chunks(3)
        with scene.fault():
            scene.stage.pinecone_faults(rule)
            scene.hold(seconds)
            scene.stage.pinecone_faults()
        assert job.status == "processing_chunks", job.seen[-3:]
        scene.finish(job)

    return act


def outage(scene: Scene) -> None:
    """Pinecone is away: nothing is bought but what the embedders have in hand already."""
    scene.slow(150)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    with scene.fault():
        scene.stage.pinecone_faults({"kind": "outage"})
        settled = job.chunks
        at_first = scene.stage.journal()["summary"]["inputs_bought"]
        scene.hold(5)
        early = scene.stage.journal()["summary"]["inputs_bought"]
        scene.hold(115)
        late = scene.stage.journal()["summary"]["inputs_bought"]
        assert late == early, f"{late - early} texts were bought while the circuit was open"
        assert early - at_first <= stages.EMBEDDERS * stages.IN_HAND + (job.chunks - settled) * stages.CHUNK_ROWS
        assert job.seen[-1][1].get("stalled_since"), "a stalled task must show it"
        scene.stage.pinecone_faults()
    scene.finish(job)


def overloaded(scene: Scene) -> None:
    """OpenAI gives nothing for a while: who looks at the task is told why."""

    def told() -> bool:
        return "OpenAI answers HTTP 503." in scene.line.task(job.task_id).get("stalled_reason", "")

    scene.slow(150)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    with scene.fault():
        scene.stage.openai_faults({"kind": "status", "body": "overloaded"})
        wait_for("OpenAI's words in the status", told, 60)
        scene.stage.openai_faults()
    scene.finish(job)


def another_dimension(scene: Scene) -> None:
    """The index is made anew with another dimension: no row fails of it, and it goes on once that is put right."""
    _wrong_index(scene, {"dimension": 768, "metric": "cosine"}, "DIMENSION_REFUSED")


def another_kind(scene: Scene) -> None:
    """The index is made anew for sparse vectors; the same."""
    _wrong_index(scene, {"vector_type": "sparse"}, "INDEX_UNUSABLE")


def _wrong_index(scene: Scene, made: dict[str, Any], reason: str) -> None:
    try:
        with scene.fault():
            _make_index(scene, made)
            job = scene.upload(6_000)  # more than all of them hold
            job.wait_status("blocked")
            bought = scene.stage.journal()["summary"]["inputs_bought"]
            assert bought <= stages.EMBEDDERS * stages.IN_HAND, f"{bought} texts were bought for an index that is wrong"
            assert scene.stage.ledger(job.task_id)[job.task_id]["error_reason"] == reason
            _make_index(scene, GOOD)
    except BaseException:
        _make_index(scene, GOOD)  # for the scenes after it
        raise
    scene.finish(job)


def moved(scene: Scene) -> None:
    """The index is on another host from now on."""
    name = scene.line.endpoints["PINECONE_INDEX_NAME"]
    scene.slow(150)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    with scene.fault():
        scene.stage.http.post(f"{scene.stage.pinecone_url}/_sandbox/move", params={"index": name}).raise_for_status()
    scene.finish(job)


def month_used(scene: Scene) -> None:
    """The plan's write units are used up."""
    _quota_used(scene, "month_used", "write unit limit for the current month")


def storage_full(scene: Scene) -> None:
    """The plan's storage is full."""
    _quota_used(scene, "storage_full", "storage")


def _quota_used(scene: Scene, kind: str, words: str) -> None:
    """The task is blocked in Pinecone's words, and a person lets it go on."""
    scene.slow(150)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    with scene.fault():
        scene.stage.pinecone_faults({"kind": kind, "op": "upsert"})
        job.wait_status("blocked")
        item = scene.stage.ledger(job.task_id)[job.task_id]
        assert item["error_reason"] == "INDEX_QUOTA_EXCEEDED"
        assert words in item["error"]
        scene.stage.pinecone_faults()
    scene.hold(11)  # for so long the gate believes it
    answer = scene.line.rest.post(f"/api/v1/task/{job.task_id}/retry")
    assert answer.status_code == 202, answer.text
    scene.finish(job)


GOOD = {"dimension": 1536, "metric": "cosine"}


def _make_index(scene: Scene, made: dict[str, Any]) -> None:
    name = scene.line.endpoints["PINECONE_INDEX_NAME"]
    url, headers = f"{scene.stage.pinecone_url}/indexes", {"Api-Key": "sandbox"}
    scene.stage.http.delete(f"{url}/{name}", headers=headers).raise_for_status()
    scene.stage.http.post(
        url, json={"name": name, "spec": {"serverless": {}}, **made}, headers=headers
    ).raise_for_status()


def refused_record(scene: Scene) -> None:
    scene.stage.pinecone_faults({"kind": "refuse_record", "op": "upsert", "match_id": "232.i777"})
    job = scene.upload(1_000)
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
        absurd,
        patient=True,
    ),
    refusing("OpenAI: insufficient_quota", "insufficient_quota", 429),
    refusing("OpenAI: 401", "invalid_api_key"),
    refusing("OpenAI: 403", "no_access"),
    refusing("OpenAI: the model is unknown", "model_not_found"),
    Cell("OpenAI: 30 % 5xx", openai({"kind": "status", "body": "server_error", "probability": 0.3}, rows=2_000)),
    Cell("OpenAI: 503 six times in a row", openai({"kind": "status", "body": "overloaded", "times": 6})),
    Cell("OpenAI: 503 for every call, until the status says so", overloaded),
    Cell("OpenAI: two calls hang", openai({"kind": "hang", "times": 2})),
    Cell("OpenAI: four connections reset", openai({"kind": "reset", "times": 4})),
    Cell("OpenAI: two connections reset once bought", openai({"kind": "reset", "times": 2, "after_work": True})),
    Cell("OpenAI: two truncated answers", openai({"kind": "truncate", "times": 2})),
    Cell("OpenAI: two pages of HTML", openai({"kind": "html", "times": 2})),
    Cell("OpenAI: n-1 embeddings, twice", openai({"kind": "missing", "times": 2})),
    Cell("OpenAI: every answer shuffled", openai({"kind": "shuffle"})),
    Cell("OpenAI: wrong dimension, twice", openai({"kind": "wrong_dimension", "times": 2})),
    Cell("OpenAI: NaN, twice", openai({"kind": "nan", "times": 2})),
    Cell("OpenAI: a zero vector, twice", openai({"kind": "zero_vector", "times": 2})),
    Cell("OpenAI: 400 for one row", refused_rows),
    Cell("Pinecone: 429 thirty times", pinecone(status(429, times=30, retry_after=1))),
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
    Cell(
        "Pinecone: slow, 30 s an upsert, for 30 s",
        lasting({"kind": "slow", "op": "upsert", "delay_ms": 30_000}, 30),
        patient=True,
    ),
    Cell("Pinecone: half of a batch, five times", pinecone({"kind": "partial", "op": "upsert", "times": 5})),
    Cell("Pinecone: refuses one record", refused_record),
    Cell("Pinecone: 403 for 6 s", lasting(status(403), 6)),
    Cell("Pinecone: 404 index for 6 s", lasting(status(404), 6)),
    Cell("Pinecone: the index made anew with another dimension", another_dimension, twice=ALL_IN_HAND),
    Cell("Pinecone: the index made anew for sparse vectors", another_kind, twice=ALL_IN_HAND),
    Cell("Pinecone: the index moved to another host", moved, twice=ALL_IN_HAND),
    Cell("Pinecone: the month's write units used up", month_used, twice=ALL_IN_HAND),
    Cell("Pinecone: the plan's storage is full", storage_full, twice=ALL_IN_HAND),
    Cell("Pinecone: an outage of 2 minutes stops the buying", outage, patient=True),
]

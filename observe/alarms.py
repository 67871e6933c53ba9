"""The plan's alarms in CloudWatch's words: an alarm there takes no search, so each names its metrics with dimensions.

They are those of deploy/observe/alerts.yaml that the plan asks for, by the same names, so that a runbook is for both.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

HOUR, DAY = 3_600, 86_400


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of the line under the dimensions that it is published with."""

    name: str
    statistic: str
    dimensions: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        name: As in alerts.yaml.
        words: What it means.
        metrics: What `expression` calls them by.
        expression: In CloudWatch's metric math.
        above: Alarms over this.
        periods: So many in a row.
        period_seconds: How long one is.
    """

    name: str
    words: str
    metrics: Mapping[str, Metric]
    expression: str
    above: float
    periods: int = 5
    period_seconds: int = 60


def counter(name: str, job: str, **labels: str) -> Metric:
    """A counter: its growth in a period."""
    return Metric(name, "Sum", {"job": job, **labels})


def gauge(name: str, job: str, **labels: str) -> Metric:
    """A gauge that all replicas show alike, or whose largest counts."""
    return Metric(name, "Maximum", {"job": job, **labels})


def _p95(method: str) -> Metric:
    name = "envoy_vhost_vcluster_upstream_rq_time"
    return gauge(name, "envoy", envoy_virtual_cluster=method, quantile="0.95")


def _answers(digit: str) -> Metric:
    labels = {"envoy_http_conn_manager_prefix": "public", "envoy_response_code_class": digit}
    return counter("envoy_http_downstream_rq_xx", "envoy", **labels)


def requests(outcome: str) -> Metric:
    """Requests to OpenAI by their outcome."""
    return counter("vectorline_openai_requests_total", "embedder", outcome=outcome)


def _upserts(outcome: str) -> Metric:
    return counter("vectorline_pinecone_upserts_total", "indexer", outcome=outcome)


def _tasks(status: str) -> Metric:
    return gauge("vectorline_tasks", "indexer", status=status)


def _cpu(state: str) -> Metric:
    return counter("vectorline_host_cpu_seconds_total", "embedder", state=state)


def _memory(state: str) -> Metric:
    return gauge("vectorline_host_memory_bytes", "embedder", state=state)


def _blocked(reason: str) -> Metric:
    return gauge("vectorline_tasks_blocked", "indexer", reason=reason)


ALL: Final = (
    Alarm(
        "ApiSlow",
        "The slowest twentieth of a method takes over 500 ms.",
        {"process": _p95("Process"), "task": _p95("GetTask"), "search": _p95("Search")},
        "MAX([process, task, search])",
        500,
    ),
    Alarm(
        "ApiErrors",
        "Over 1 % of the gateway's answers are 5xx.",
        {f"a{digit}": _answers(digit) for digit in "12345"},
        "FILL(a5, 0) / (FILL(a1, 0) + FILL(a2, 0) + FILL(a3, 0) + FILL(a4, 0) + FILL(a5, 0))",
        0.01,
        periods=2,
    ),
    Alarm(
        "CpuHigh",
        "The processors under the embedders are over 80 % busy for a quarter of an hour.",
        {"busy": _cpu("busy"), "idle": _cpu("idle")},
        "busy / (busy + idle)",
        0.8,
        periods=15,
    ),
    Alarm(
        "MemoryHigh",
        "An embedder's container has used over 90 % of its memory.",
        {"used": _memory("used"), "available": _memory("available")},
        "used / (used + available)",
        0.9,
    ),
    Alarm(
        "QueueLong",
        "100 tasks and more wait for their turn or a splitter.",
        {"pending": _tasks("pending"), "queued": _tasks("queued")},
        "FILL(pending, 0) + FILL(queued, 0)",
        99,
        periods=10,
    ),
    Alarm(
        "LimiterPaused",
        "A 429 stops all buying for five minutes and more.",
        {"pause": gauge("vectorline_limiter_pause_seconds", "embedder")},
        "pause",
        0,
    ),
    Alarm(
        "OpenAIFailing",
        "Over 1 % of the requests to OpenAI fail.",
        {word: requests(word) for word in ("bought", "refused", "failed", "account_refused")},
        "(FILL(failed, 0) + FILL(account_refused, 0))"
        " / (FILL(bought, 0) + FILL(refused, 0) + FILL(failed, 0) + FILL(account_refused, 0))",
        0.01,
        periods=2,
    ),
    Alarm(
        "AccountBlocked",
        "The OpenAI account refuses; every task waits for a person.",
        {"blocked": gauge("vectorline_account_blocked", "embedder")},
        "blocked",
        0,
        periods=1,
    ),
    Alarm(
        "PineconeFailing",
        "Over 1 % of the upserts to Pinecone fail.",
        {word: _upserts(word) for word in ("written", "refused", "failed", "partial", "exhausted")},
        "(FILL(failed, 0) + FILL(partial, 0) + FILL(exhausted, 0))"
        " / (FILL(written, 0) + FILL(refused, 0) + FILL(failed, 0) + FILL(partial, 0) + FILL(exhausted, 0))",
        0.01,
        periods=2,
    ),
    Alarm(
        "LeasesLost",
        "Embedders lost chunks within a day; fewer than one is promised.",
        {
            word: counter("vectorline_chunks_leases_lost_total", "embedder", because=word)
            for word in ("no_progress", "not_owner")
        },
        "FILL(no_progress, 0) + FILL(not_owner, 0)",
        0,
        periods=1,
        period_seconds=DAY,
    ),
    Alarm(
        "ChunksIncomplete",
        "Over 1 % of the chunks of an hour ended as dead letters.",
        {
            "dead": counter("vectorline_dead_letters_total", "indexer", reason="poison"),
            "settled": counter("vectorline_chunks_settled_total", "indexer"),
        },
        "FILL(dead, 0) / settled",
        0.01,
        periods=1,
        period_seconds=HOUR,
    ),
    Alarm(
        "DeadLetter",
        "A chunk was given up whole; its rows are in the rejects.",
        {"dead": counter("vectorline_dead_letters_total", "indexer", reason="poison")},
        "dead",
        0,
        periods=1,
    ),
    Alarm(
        "TaskStalled",
        "Open tasks make no progress.",
        {
            word: gauge("vectorline_tasks_stalled", "indexer", reason=word)
            for word in ("embedders", "pinecone", "driver", "splitter", "scan", "ingest")
        },
        "MAX([embedders, pinecone, driver, splitter, scan, ingest])",
        0,
    ),
    Alarm(
        "TaskBlocked",
        "Tasks are blocked by a namespace or the index, and wait for a person.",
        {
            word.lower(): _blocked(word)
            for word in (
                "NAMESPACE_REFUSED",
                "INDEX_UNUSABLE",
                "DIMENSION_REFUSED",
                "INDEX_QUOTA_EXCEEDED",
                "INDEX_REFUSED",
                "INDEX_UNCONFIRMED",
            )
        },
        "MAX([namespace_refused, index_unusable, dimension_refused, index_quota_exceeded, index_refused, "
        "index_unconfirmed])",
        0,
        periods=1,
    ),
    Alarm(
        "RowsUnaccounted",
        "A task's row sums do not add up.",
        {"blocked": _blocked("ROWS_UNACCOUNTED")},
        "blocked",
        0,
        periods=1,
    ),
    Alarm(
        "LedgerThrottled",
        "DynamoDB throttles the ledger.",
        {"throttled": counter("vectorline_aws_calls_total", "indexer", dependency="DynamoDB", outcome="throttled")},
        "throttled",
        0,
        periods=2,
    ),
    Alarm(
        "DependencyDown",
        "What the indexer needs does not answer.",
        {
            word: Metric("vectorline_dependency_up", "Minimum", {"job": "indexer", "dependency": word})
            for word in ("dynamodb", "pinecone")
        },
        "1 - MIN([dynamodb, pinecone])",
        0,
        periods=2,
    ),
    Alarm(
        "CredentialExpires",
        "An API key runs out within 14 days.",
        {
            "ends": Metric(
                "vectorline_credential_expires_timestamp_seconds", "Minimum", {"job": "ingest", "credential": "key"}
            )
        },
        "14 * 86400 - (ends - EPOCH(ends))",
        0,
        periods=1,
    ),
)

"""The three dashboards: the API, the processing, the infrastructure. Everything that draws them is made from this."""

from typing import Final

from observe.panels import Dashboard, Once, Panel, Quantile, Rate, Share, Total, Unit, Variable

PUBLIC: Final = {"envoy_http_conn_manager_prefix": "public"}
INSTANCE: Final = {"instance": "$instance"}
METHOD: Final = {"envoy_virtual_cluster": "$method"}
# Load balancers ask for it every second.
NO_HEALTH: Final = {"method": "!/grpc.health.v1.+"}
DYNAMODB: Final = {"dependency": "DynamoDB"}

API: Final = Dashboard(
    "api",
    "Vectorline: API",
    "What callers get: how many requests, how fast, how many fail.",
    (
        Panel(
            "Requests by class of the answer",
            "5xx are ours; 429 are limits that were reached.",
            Unit.PER_SECOND,
            (Rate("envoy_http_downstream_rq_xx", ("envoy_response_code_class",), PUBLIC),),
            stacked=True,
        ),
        Panel(
            "Errors of the gateway",
            "Share of 5xx in all answers. The promise: below 1 %.",
            Unit.SHARE,
            (
                Share(
                    Rate("envoy_http_downstream_rq_xx", (), PUBLIC | {"envoy_response_code_class": "5"}),
                    Rate("envoy_http_downstream_rq_xx", (), PUBLIC),
                    "5xx",
                ),
            ),
            limit=0.01,
        ),
        Panel(
            "p95 by method",
            "Uploads, exports, watches and estimates last as long as their callers let them. Promised: below 500 ms.",
            Unit.MILLISECONDS,
            (Quantile("envoy_vhost_vcluster_upstream_rq_time", ("envoy_virtual_cluster",), METHOD),),
            limit=500,
        ),
        Panel(
            "Requests by method",
            "What callers do.",
            Unit.PER_SECOND,
            (Rate("envoy_vhost_vcluster_upstream_rq_total", ("envoy_virtual_cluster",), METHOD),),
            stacked=True,
        ),
        Panel(
            "Calls of the services by code",
            "Also those between the services. UNAVAILABLE: what a call needs does not answer.",
            Unit.PER_SECOND,
            (Rate("vectorline_rpc_calls_total", ("code",), NO_HEALTH),),
            stacked=True,
        ),
        Panel(
            "p95 of calls by service",
            "The same calls, at the services; a part of a long one is the caller's own speed.",
            Unit.SECONDS,
            (Quantile("vectorline_rpc_seconds", ("job",), {"method": ".+Service/(Get|List|Search|Process|Begin).*"}),),
        ),
        Panel(
            "Replicas that serve",
            "As the gateway's health checks see them.",
            Unit.NUMBER,
            (Once("envoy_cluster_membership_healthy", ("envoy_cluster_name",)),),
        ),
        Panel(
            "Requests under way",
            "Watches and uploads count as long as they last.",
            Unit.NUMBER,
            (Total("envoy_http_downstream_rq_active", (), PUBLIC, "under way"),),
        ),
        Panel(
            "What requests wait for the quota",
            "p95. Bulk waits by design; searches over 3 s: there are more of them than the quota has room for.",
            Unit.SECONDS,
            (Quantile("vectorline_permit_seconds", ("asker",)),),
            limit=3,
        ),
    ),
    (Variable("method", "envoy_vhost_vcluster_upstream_rq_total", "envoy_virtual_cluster"),),
)

PROCESSING: Final = Dashboard(
    "processing",
    "Vectorline: processing",
    "What becomes of the rows, and what holds them up.",
    (
        Panel(
            "Rows by outcome",
            "Rows settled in the ledger.",
            Unit.PER_SECOND,
            (Rate("vectorline_rows_total", ("outcome",)),),
            stacked=True,
        ),
        Panel(
            "Tasks that are not finished",
            "The promise: below 100 pending or queued.",
            Unit.NUMBER,
            (Once("vectorline_tasks", ("status",)),),
            stacked=True,
        ),
        Panel(
            "Tasks that stand still",
            "By what they wait for; blocked ones by their reason. turn: another task goes first.",
            Unit.NUMBER,
            (Once("vectorline_tasks_stalled", ("reason",)), Once("vectorline_tasks_blocked", ("reason",))),
        ),
        Panel(
            "Chunks in the queue",
            "pending: an embedder has it.",
            Unit.NUMBER,
            (Once("vectorline_queue_chunks", ("lane", "state")),),
            stacked=True,
        ),
        Panel(
            "How long the oldest waits",
            "The oldest chunk in the queue, and the longest waiting task.",
            Unit.SECONDS,
            (
                Once("vectorline_queue_oldest_seconds", legend="chunk"),
                Once("vectorline_tasks_oldest_waiting_seconds", legend="task"),
            ),
            limit=600,
        ),
        Panel(
            "Requests to OpenAI by outcome",
            "throttled: 429, which pause everybody.",
            Unit.PER_SECOND,
            (Rate("vectorline_openai_requests_total", ("outcome",)),),
            stacked=True,
        ),
        Panel(
            "Tokens and their limit",
            "What is bought, and what may be; a limit of 0 is none.",
            Unit.PER_SECOND,
            (
                Rate("vectorline_openai_tokens_total", legend="bought"),
                Once("vectorline_limiter_tokens_per_second", legend="limit"),
            ),
        ),
        Panel(
            "Answers of OpenAI and Pinecone",
            "p95 of requests that brought embeddings, and of upserts.",
            Unit.SECONDS,
            (
                Quantile("vectorline_openai_seconds", legend="OpenAI"),
                Quantile("vectorline_pinecone_seconds", legend="Pinecone"),
            ),
        ),
        Panel(
            "Upserts by outcome",
            "refused: records that the index does not take, which are rejects.",
            Unit.PER_SECOND,
            (Rate("vectorline_pinecone_upserts_total", ("outcome",)),),
            stacked=True,
        ),
        Panel(
            "How long tasks take",
            "p95 from storing a task to its end, by its number of rows.",
            Unit.SECONDS,
            (Quantile("vectorline_task_seconds", ("size",)),),
        ),
        Panel(
            "Dollars an hour",
            "By the prices that are set; what Pinecone bills for replaced records is in it as far as it is known.",
            Unit.DOLLARS,
            (Rate("vectorline_dollars_total", ("provider",), times=3600),),
            stacked=True,
        ),
        Panel(
            "Dead letters and lost leases",
            "An hour. The promise: fewer than 1 % of the chunks, and fewer than one a day.",
            Unit.NUMBER,
            (
                Rate("vectorline_dead_letters_total", legend="dead letters", times=3600),
                Rate("vectorline_chunks_leases_lost_total", legend="leases lost", times=3600),
            ),
        ),
    ),
)

INFRASTRUCTURE: Final = Dashboard(
    "infrastructure",
    "Vectorline: infrastructure",
    "What the processes use, and what they need.",
    (
        Panel(
            "CPU of the processes",
            "1 is one processor.",
            Unit.NUMBER,
            (Rate("process_cpu_seconds_total", ("job", "instance"), INSTANCE),),
        ),
        Panel(
            "Memory of the processes",
            "Resident. What only grows, over hours, is a leak.",
            Unit.BYTES,
            (Total("process_resident_memory_bytes", ("job", "instance"), INSTANCE),),
        ),
        Panel(
            "CPU of the machines",
            "Share of all processors under a process. The promise: below 80 %.",
            Unit.SHARE,
            (
                Share(
                    Rate("vectorline_host_cpu_seconds_total", ("job", "instance"), INSTANCE | {"state": "busy"}),
                    Rate("vectorline_host_cpu_seconds_total", ("job", "instance"), INSTANCE),
                ),
            ),
            limit=0.8,
        ),
        Panel(
            "Memory of the machines",
            "Of the container, where it has a limit. The promise: below 90 %.",
            Unit.SHARE,
            (
                Share(
                    Total("vectorline_host_memory_bytes", ("job", "instance"), INSTANCE | {"state": "used"}),
                    Total("vectorline_host_memory_bytes", ("job", "instance"), INSTANCE),
                ),
            ),
            limit=0.9,
        ),
        Panel(
            "How late the event loops are",
            "About 0.4 ms where nothing is to do; from 1.5 ms on the processors are full.",
            Unit.SECONDS,
            (Once("vectorline_loop_late_seconds", ("job", "instance"), INSTANCE),),
            limit=0.1,
        ),
        Panel(
            "Dependencies that answer",
            "1: every replica reaches it.",
            Unit.NUMBER,
            (Total("vectorline_dependency_up", ("job", "dependency"), INSTANCE),),
        ),
        Panel(
            "Calls of the ledger by outcome",
            "refused: a condition that does not hold, as it is meant to. throttled: the table is too small.",
            Unit.PER_SECOND,
            (Rate("vectorline_aws_calls_total", ("outcome",), DYNAMODB),),
            stacked=True,
        ),
        Panel(
            "p95 of the ledger's calls",
            "One try.",
            Unit.SECONDS,
            (Quantile("vectorline_aws_seconds", ("operation",), DYNAMODB),),
        ),
        Panel(
            "Bytes in the queue",
            "At its limit ingest waits.",
            Unit.BYTES,
            (
                Once("vectorline_queue_bytes", legend="queue"),
                Once("vectorline_queue_bytes_limit", legend="limit"),
            ),
        ),
        Panel(
            "Open files",
            "Connections count.",
            Unit.NUMBER,
            (Total("process_open_fds", ("job", "instance"), INSTANCE),),
        ),
        Panel(
            "Slots of the embedders",
            "Chunks of 1,000 rows that are worked, and that could be.",
            Unit.NUMBER,
            (Once("vectorline_worker_slots", ("state",)),),
            stacked=True,
        ),
        Panel(
            "CPU by stage",
            "Of our own code; what libraries use beside is in none.",
            Unit.NUMBER,
            (Rate("vectorline_stage_cpu_seconds_total", ("stage",)),),
            stacked=True,
        ),
    ),
    (Variable("instance", "process_cpu_seconds_total", "instance"),),
)

ALL: Final = (API, PROCESSING, INFRASTRUCTURE)

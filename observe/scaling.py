"""When embedders are added and taken away: on the backlog and on what is left of the quota, both.

At the quota more embedders buy nothing, and while Pinecone or OpenAI is away none of them gets a chunk done: then the
backlog says nothing about how many there should be. See docs/operating.md.
"""

from typing import Final

from observe import alarms

# Seconds of a period's 60 for which the quota may be used: at nine tenths it counts as used up.
FULL_SECONDS: Final = 54
# Of the lane where most wait: an alarm takes ten metrics, and no search.
_WAITING: Final = alarms.gauge("vectorline_queue_chunks", "embedder", state="waiting")
_OUTCOMES: Final = ("bought", "refused", "failed")
_REQUESTS: Final = " + ".join(f"FILL({word}, 0)" for word in _OUTCOMES)

# Its value is the chunks that wait, which the steps of the policy go by.
WANTED: Final = alarms.Alarm(
    "EmbeddersWanted",
    "Chunks wait for an embedder while the quota is not used up.",
    {
        "waiting": _WAITING,
        **{word: alarms.requests(word) for word in _OUTCOMES},
        "tokens": alarms.counter("vectorline_openai_tokens_total", "embedder"),
        "tokens_limit": alarms.gauge("vectorline_limiter_tokens_per_second", "embedder"),
        "requests_limit": alarms.gauge("vectorline_limiter_requests_per_second", "embedder"),
        "pause": alarms.gauge("vectorline_limiter_pause_seconds", "embedder"),
        "pinecone": alarms.Metric("vectorline_dependency_up", "Minimum", {"job": "indexer", "dependency": "pinecone"}),
    },
    f"IF((tokens_limit > 0 AND FILL(tokens, 0) > {FULL_SECONDS} * tokens_limit)"
    f" OR (requests_limit > 0 AND {_REQUESTS} > {FULL_SECONDS} * requests_limit)"
    " OR FILL(failed, 0) > FILL(bought, 0) OR pause > 0 OR FILL(pinecone, 1) < 1, 0, waiting)",
    above=7,  # a chunk for each slot of one more embedder (MAX_WORKERS)
    periods=3,
)
IDLE: Final = alarms.Alarm(
    "EmbeddersIdle",
    "No chunk waits, and not even half of the embedders' slots are taken, for a quarter of an hour.",
    {
        "waiting": _WAITING,
        "active": alarms.gauge("vectorline_worker_slots", "embedder", state="active"),
        "available": alarms.gauge("vectorline_worker_slots", "embedder", state="available"),
    },
    "IF(waiting > 0 OR active > available, 0, 1)",
    above=0,
    periods=15,
)
ALL: Final = (WANTED, IDLE)

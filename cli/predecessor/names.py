"""The predecessor's variables: which mean what they meant, which have another name, and which nothing reads now."""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Final


class Verdict(enum.StrEnum):
    """What becomes of a variable."""

    KEPT = "kept"  # the same name and meaning
    CHANGED = "changed"  # the same name; mind what is said
    RENAMED = "renamed"  # take the other name
    DROPPED = "dropped"  # may stay; nothing reads it
    REFUSED = "refused"  # must go, or be answered otherwise
    UNKNOWN = "unknown"  # neither ours nor the predecessor's


@dataclasses.dataclass(frozen=True)
class Rule:
    """What becomes of a variable, and why in a sentence."""

    verdict: Verdict
    word: str = ""


_KEPT: Final = (
    *("API_KEY", "API_HOST", "API_PORT", "METABASE_URL", "METABASE_API_KEY", "METABASE_QUESTION_ID"),
    *("OPENAI_API_KEY", "PINECONE_API_KEY", "PINECONE_INDEX_NAME", "PINECONE_NAMESPACE"),
    *("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "S3_BUCKET_NAME"),
    *("USE_LOCAL_FILES", "LOCAL_CSV_FOLDER", "REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD"),
    *("CHUNK_SIZE", "LOG_LEVEL"),
)
_RULES: Final = {
    "ENVIRONMENT": Rule(
        Verdict.CHANGED, "production starts only with a key, and with INTERNAL_TOKEN or mTLS between the services."
    ),
    "OPENAI_MODEL": Rule(
        Verdict.CHANGED, "it is the model of every request now; keep the one that the index was filled with."
    ),
    "OPENAI_RATE_LIMIT": Rule(
        Verdict.CHANGED,
        "requests a second of all embedders together, where it was of each worker: put the account's limit here, "
        "and OPENAI_TOKENS_PER_MINUTE beside it.",
    ),
    "PINECONE_BATCH_SIZE": Rule(
        Verdict.CHANGED, "the most vectors in one upsert; 2 MB are a limit too, so 1000 is right."
    ),
    "DYNAMODB_TABLE_NAME": Rule(
        Verdict.CHANGED,
        "name a new table: the old one lacks our indexes and is never written; `vectorline migrate tasks` lists it.",
    ),
    "MAX_WORKERS": Rule(
        Verdict.CHANGED,
        "chunks in work at once in one embedder, where it was processes of Celery; 8 is right for most.",
    ),
    "TASK_TIMEOUT": Rule(
        Verdict.CHANGED, "work on a chunk without progress for so long passes it on; a task as a whole has no limit."
    ),
    "BATCH_SIZE": Rule(Verdict.DROPPED, "requests to OpenAI are packed by what it takes."),
    "AWS_DEFAULT_REGION": Rule(Verdict.RENAMED, "AWS_REGION"),
    "AWS_S3_BUCKET": Rule(Verdict.RENAMED, "S3_BUCKET_NAME"),
    "S3_BUCKET": Rule(Verdict.RENAMED, "S3_BUCKET_NAME"),
    "DYNAMODB_TABLE": Rule(Verdict.RENAMED, "DYNAMODB_TABLE_NAME, with the name of a new table"),
    "PINECONE_INDEX": Rule(Verdict.RENAMED, "PINECONE_INDEX_NAME"),
    "EMBEDDING_MODEL": Rule(Verdict.RENAMED, "OPENAI_MODEL"),
    "OPENAI_EMBEDDING_MODEL": Rule(Verdict.RENAMED, "OPENAI_MODEL"),
    "EMBEDDING_DIMENSION": Rule(Verdict.RENAMED, "EMBEDDING_DIMENSIONS; without it the index's own is taken"),
    "CELERY_BROKER_URL": Rule(Verdict.RENAMED, "REDIS_URL, if its server is Valkey 8.1 or Redis 7 with noeviction"),
    "CELERY_RESULT_BACKEND": Rule(Verdict.DROPPED, "results are in the ledger (DynamoDB)."),
    "PINECONE_ENVIRONMENT": Rule(
        Verdict.DROPPED, "Pinecone's API no longer has environments; the index says where it is."
    ),
    "PINECONE_HOST": Rule(Verdict.DROPPED, "the index says where it is."),
    "DEBUG": Rule(Verdict.DROPPED, "LOG_LEVEL=DEBUG says more; no answer ever holds a traceback."),
    "SECRET_KEY": Rule(Verdict.DROPPED, "nothing is signed with it."),
    "WORKERS": Rule(Verdict.DROPPED, "a service is one process; more replicas scale it."),
    "WEB_CONCURRENCY": Rule(Verdict.DROPPED, "a service is one process; more replicas scale it."),
    "DOMAIN": Rule(Verdict.DROPPED, "the stack edge has it (DomainName); there is no nginx and no certbot."),
    "DOMAIN_NAME": Rule(Verdict.DROPPED, "the stack edge has it (DomainName); there is no nginx and no certbot."),
    "ALLOWED_ORIGINS": Rule(
        Verdict.REFUSED, "the gateway answers no other origin's pages; put a proxy of yours before it."
    ),
    "CORS_ORIGINS": Rule(
        Verdict.REFUSED, "the gateway answers no other origin's pages; put a proxy of yours before it."
    ),
    "API_KEY_HEADER": Rule(Verdict.REFUSED, "the header is X-API-Key; callers with another one must change."),
}
# Families that went with what they configured.
_FAMILIES: Final = (
    (r"CELERY_\w+|FLOWER_\w+", "Celery and Flower are gone: /api/v1/monitoring shows queue and workers."),
    (r"UVICORN_\w+|GUNICORN_\w+", "the services are gRPC servers behind Envoy."),
    (r"NGINX_\w+|CERTBOT_\w+|SSL_\w+|LETSENCRYPT_\w+", "TLS ends at the load balancer (stack edge)."),
    (r"PYTHON\w*|COMPOSE_\w+|DOCKER_\w+|TZ|PATH|HOME", "of the machine, not of the service."),
)


def rule(name: str, ours: frozenset[str]) -> Rule:
    """What becomes of a variable.

    Args:
        name: Its name.
        ours: All variables that the line reads.
    """
    if name in _RULES:
        return _RULES[name]
    if name in _KEPT or name in ours:
        return Rule(Verdict.KEPT)
    for pattern, word in _FAMILIES:
        if re.fullmatch(pattern, name):
            return Rule(Verdict.DROPPED, word)
    near = next((each for each in sorted(ours) if each.replace("_", "") == name.upper().replace("_", "")), "")
    word = f"did you mean {near}?" if near else "nothing here reads it, and it is not known of the predecessor."
    return Rule(Verdict.UNKNOWN, word)

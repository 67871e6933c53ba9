"""The variables of the line: what is inherited, what is generated once and kept, and what callers are told."""

import re
import secrets
import shlex
from collections.abc import Mapping

from sandbox.line import dependencies, orphans, run_dir

SECRETS = "secrets.json"
# Of make and of `up` itself; they mean nothing to a process of the line.
OWN = frozenset(
    {"INGESTS", "EMBEDDERS", "INDEXERS", "METABASE", "RUN_DIR", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
    | {"MAKE_TERMERR", "MAKE_TERMOUT", "MAKEFILES", "GNUMAKEFLAGS"}
)
DEFAULTS = {
    "ENVIRONMENT": "development",
    # Envoy stops before the services: there is nobody who must turn away first.
    "LEAVE_SECONDS": "0",
    "PINECONE_INDEX_NAME": "vectorline",
    "S3_BUCKET_NAME": "vectorline",
    "DYNAMODB_TABLE_NAME": "vectorline",
    "AWS_REGION": dependencies.REGION,
    # An endpoint of one's own may need no key, but the clients want to be given one.
    "OPENAI_API_KEY": dependencies.STAND_IN_KEY,
    "PINECONE_API_KEY": dependencies.STAND_IN_KEY,
}
TOLD = (
    *("GATEWAY_URL", "INGEST_ADDR", "EMBEDDER_ADDR", "INDEXER_ADDR", "REDIS_URL", "AWS_ENDPOINT_URL", "AWS_REGION"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_BUCKET_NAME", "DYNAMODB_TABLE_NAME", "OPENAI_BASE_URL"),
    *("PINECONE_CONTROLLER_HOST", "PINECONE_INDEX_NAME", "METABASE_URL", "ENVOY_ADMIN_URL"),
    *("API_KEY", "INTERNAL_TOKEN"),
)


# `EMBEDDER__LOG_LEVEL` is the LOG_LEVEL of the embedders alone: what stands before it is the role of a process.
_OF_A_ROLE = re.compile(r"(PROVISION|INGEST|EMBEDDER|INDEXER)__([A-Z][A-Z0-9_]*)")


def of_role(inherited: Mapping[str, str], role: str) -> dict[str, str]:
    """The variables that processes of one role get on top of what all get."""
    found = ((_OF_A_ROLE.fullmatch(name), value) for name, value in inherited.items())
    return {named[2]: value for named, value in found if named and named[1] == role.upper()}


def generated(run: run_dir.RunDir) -> dict[str, str]:
    """API_KEY and INTERNAL_TOKEN of this line, made at its first start."""
    kept: dict[str, str] = run.read_json(SECRETS)
    wanted = {"API_KEY": f"vl_{secrets.token_urlsafe(24)}", "INTERNAL_TOKEN": secrets.token_urlsafe(32)}
    together = {name: kept.get(name) or value for name, value in wanted.items()}
    if together != kept:
        run.write_json(SECRETS, together)
    return together


def of_processes(
    inherited: Mapping[str, str], chosen: list[dependencies.Dependency], run: run_dir.RunDir
) -> dict[str, str]:
    """What every process of the line gets: the caller's variables, then ours where they are silent."""
    environment = {
        name: value for name, value in inherited.items() if name not in OWN and not _OF_A_ROLE.fullmatch(name)
    }
    for dependency in chosen:
        environment.update(dependency.environment)
    for name, value in {**DEFAULTS, **generated(run)}.items():
        environment[name] = environment.get(name) or value
    environment.setdefault("AWS_DEFAULT_REGION", environment["AWS_REGION"])
    environment["PYTHONUNBUFFERED"] = "1"
    environment[orphans.MARK] = str(run.path)
    return {name: value for name, value in environment.items() if value}


def endpoints(environment: Mapping[str, str], addresses: Mapping[str, str]) -> str:
    """``endpoints.env``: what a shell or a test needs to talk to this line."""
    known = {**environment, **addresses}
    if not known.get("REDIS_URL") and known.get("REDIS_HOST"):
        known["REDIS_URL"] = (
            f"redis://{known['REDIS_HOST']}:{known.get('REDIS_PORT', '6379')}/{known.get('REDIS_DB', '0')}"
        )
    return "".join(f"{name}={shlex.quote(known[name])}\n" for name in TOLD if known.get(name))

"""What the services need and a laptop does not have: who provides it, and the stand-ins' processes."""

import dataclasses
import os
import sys
from collections.abc import Mapping

from sandbox.line import run_dir, servers, specs

HOST = "127.0.0.1"
STAND_IN_KEY = "sandbox"
REGION = "us-east-1"
# Any of these means that somebody can sign requests to the real AWS.
AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclasses.dataclass(frozen=True)
class Dependency:
    """One dependency as this line gets it.

    ``environment`` is what the services are told about it; a name with the value "" is taken away from them.
    """

    name: str
    told: str  # a line for people
    environment: Mapping[str, str]
    process: specs.Process | None = None  # the stand-in


def all_of(environment: Mapping[str, str], ports: Mapping[str, int], run: run_dir.RunDir) -> list[Dependency]:
    """Every dependency, in the order in which they start."""
    return [
        _valkey(environment, ports, run),
        _aws(environment, ports, run),
        _openai(environment, ports),
        _pinecone(environment, ports, run),
        _metabase(environment, ports),
    ]


def _given(environment: Mapping[str, str], *names: str) -> str:
    """The first of these variables that is set."""
    return next((name for name in names if environment.get(name)), "")


def _valkey(environment: Mapping[str, str], ports: Mapping[str, int], run: run_dir.RunDir) -> Dependency:
    if name := _given(environment, "REDIS_URL", "REDIS_HOST"):
        return Dependency("valkey", f"Valkey: yours, by {name}.", {})
    port = ports["valkey"]
    folder = run.path / "valkey"
    folder.mkdir(exist_ok=True)
    flags = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
        "set-proc-title": "no",
        "daemonize": "no",
    }
    process = specs.Process(
        name="valkey",
        role="valkey",
        stage=1,
        command=(servers.valkey(), *(part for flag in flags.items() for part in _flag(*flag))),
        probe=specs.Probe("valkey", f"{HOST}:{port}"),
    )
    return Dependency("valkey", "Valkey: the real server, here.", {"REDIS_URL": f"redis://{HOST}:{port}/0"}, process)


def _flag(name: str, value: str) -> tuple[str, str]:
    return f"--{name}", value


def _aws(environment: Mapping[str, str], ports: Mapping[str, int], run: run_dir.RunDir) -> Dependency:
    if environment.get("AWS_ENDPOINT_URL"):
        return Dependency("aws", "AWS: yours, by AWS_ENDPOINT_URL.", {})
    if environment.get("S3_BUCKET_NAME") and (name := _given(environment, *AWS_CREDENTIALS)):
        return Dependency("aws", f"AWS: the real one, by S3_BUCKET_NAME and {name}.", {})
    url = f"http://{HOST}:{ports['aws']}"
    folder = run.path / "aws"
    process = specs.Process(
        name="aws",
        role="aws",
        stage=1,
        command=(sys.executable, "-m", "sandbox.line.aws"),
        environment={
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(ports["aws"]),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "s3"),
            "LOG_LEVEL": "WARNING",
        },
        probe=specs.Probe("http", f"{url}/_ministack/health"),
    )
    told = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": STAND_IN_KEY,
        "AWS_SECRET_ACCESS_KEY": STAND_IN_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The stand-in must never see the credentials of an account.
        **dict.fromkeys(("AWS_SESSION_TOKEN", *AWS_CREDENTIALS[1:]), ""),
    }
    return Dependency("aws", "S3 and DynamoDB: a stand-in (ministack).", told, process)


def _openai(environment: Mapping[str, str], ports: Mapping[str, int]) -> Dependency:
    if name := _given(environment, "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        return Dependency("openai", f"OpenAI: yours, by {name}.", {})
    port = ports["openai"]
    process = specs.Process(
        name="openai",
        role="openai",
        stage=1,
        command=(sys.executable, "-m", "sandbox.openai", "--port", str(port)),
        probe=specs.Probe("http", f"http://{HOST}:{port}/healthz"),
    )
    told = {"OPENAI_BASE_URL": f"http://{HOST}:{port}/v1", "OPENAI_API_KEY": STAND_IN_KEY}
    return Dependency("openai", "OpenAI: a stand-in with real static embeddings.", told, process)


def _pinecone(environment: Mapping[str, str], ports: Mapping[str, int], run: run_dir.RunDir) -> Dependency:
    if name := _given(environment, "PINECONE_CONTROLLER_HOST", "PINECONE_API_KEY"):
        return Dependency("pinecone", f"Pinecone: yours, by {name}.", {})
    url = f"http://{HOST}:{ports['pinecone']}"
    folder = run.path / "pinecone"
    process = specs.Process(
        name="pinecone",
        role="pinecone",
        stage=1,
        command=(
            *(sys.executable, "-m", "sandbox.pinecone"),
            *("--port", str(ports["pinecone"]), "--data-dir", str(folder)),
        ),
        probe=specs.Probe("http", f"{url}/healthz"),
    )
    told = {"PINECONE_CONTROLLER_HOST": url, "PINECONE_API_KEY": STAND_IN_KEY}
    return Dependency("pinecone", "Pinecone: a stand-in, kept on disk.", told, process)


def _metabase(environment: Mapping[str, str], ports: Mapping[str, int]) -> Dependency:
    """A source that most lines do without: its stand-in is started only when it is asked for."""
    if environment.get("METABASE_URL"):
        return Dependency("metabase", "Metabase: yours, by METABASE_URL.", {})
    if environment.get("METABASE", "") in ("", "0"):
        return Dependency("metabase", "Metabase: none; METABASE=1 starts a stand-in.", {})
    url = f"http://{HOST}:{ports['metabase']}"
    process = specs.Process(
        name="metabase",
        role="metabase",
        stage=1,
        command=(sys.executable, "-m", "sandbox.metabase", "--port", str(ports["metabase"])),
        probe=specs.Probe("http", f"{url}/api/health"),
    )
    told = {"METABASE_URL": url, "METABASE_API_KEY": STAND_IN_KEY}
    return Dependency("metabase", "Metabase: a stand-in with question 232.", told, process)


def gateway(config: str, run: run_dir.RunDir, port: int) -> specs.Process:
    """Envoy, with the rendered configuration."""
    return specs.Process(
        name="envoy",
        role="envoy",
        stage=4,
        command=(
            *(servers.envoy(), "-c", str(run.path / "envoy.yaml")),
            *("--concurrency", str(min(2, os.cpu_count() or 1)), "--disable-hot-restart", "--log-level", "warning"),
        ),
        probe=specs.Probe("http", f"http://{HOST}:{port}/healthz"),
        reads=config,
        stop_seconds=10.0,
    )

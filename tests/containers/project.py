"""The compose project of the run: docker-compose.yml with the profile `local`, on settings of its own."""

import contextlib
import json
import os
import pathlib
import resource
import secrets
import signal
from collections.abc import Mapping
from typing import Any

from tests.containers import bases, engine, run
from tests.support import line as lines
from tests.support import ports

NAME = "vectorline-containers"
SERVICES = ("ingest", "embedder", "indexer")
# Everything that runs on, in the order in which it is killed.
CONTAINERS = (*SERVICES, "envoy", "valkey", "openai", "pinecone", "aws")
UP_SECONDS = 240.0
HEALTHY_SECONDS = 90.0
# So that a load lasts long enough for something to happen to it.
OPENAI_LATENCY_MS = 100
OPEN_FILES = 65_536
BUILD_SECONDS = 480.0


def settings(folder: pathlib.Path, tag: str) -> dict[str, str]:
    """What the project is told, as a .env would."""
    files = min(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return {
        "COMPOSE_PROJECT_NAME": NAME,
        "COMPOSE_PROFILES": "local",
        "VECTORLINE_TAG": tag,
        "API_KEY": secrets.token_urlsafe(24),
        "INTERNAL_TOKEN": secrets.token_urlsafe(24),
        "REDIS_PASSWORD": secrets.token_urlsafe(24),
        "API_PORT": str(ports.free()),
        "LOCAL_CSV_FOLDER": os.fspath(data),
        "OPEN_FILES_LIMIT": str(files),
        "ENVOY_MAX_CONNECTIONS": str(min(20_000, files // 2 - 100)),
        "AWS_ENDPOINT_URL": "http://aws:4566",
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "OPENAI_BASE_URL": "http://openai:9001/v1",
        "OPENAI_API_KEY": "sandbox",
        "OPENAI_RATE_LIMIT": "0",
        "PINECONE_CONTROLLER_HOST": "http://pinecone:9002",
        "PINECONE_API_KEY": "sandbox",
        "PINECONE_INDEX_NAME": "vectorline",
        "SANDBOX_OPENAI_LATENCY_MS": str(OPENAI_LATENCY_MS),
    }


class Project:
    """Compose, and what is asked of its containers."""

    def __init__(self, where: engine.Engine, told: Mapping[str, str]) -> None:
        self.where = where
        self.told = dict(told)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.told['API_PORT']}"

    @property
    def environment(self) -> dict[str, str]:
        return {**self.where.environment, **self.told}

    def compose(self, *arguments: str, stdin: bytes | None = None, seconds: float = run.SECONDS) -> str:
        return run.output(
            *("docker", "compose", "--progress", "quiet", *arguments),
            environment=self.environment,
            stdin=stdin,
            seconds=seconds,
            cwd=os.fspath(bases.ROOT),
        )

    def build(self, tag: str, *, own_authorities: bool) -> None:
        """Both images, under a tag."""
        arguments = [f"VERSION={tag}"]
        if own_authorities:  # the stand-in of Python's image has this machine's
            arguments += [f"{name}={bases.AUTHORITIES}" for name in ("PIP_CERT", "SSL_CERT_FILE")]
        flags = [flag for argument in arguments for flag in ("--build-arg", argument)]
        self.told["VECTORLINE_TAG"] = tag
        self.compose("build", "--quiet", *flags, "ingest", "openai", seconds=BUILD_SECONDS)

    def up(self, *arguments: str) -> None:
        self.compose("up", "--detach", "--wait", "--no-build", *arguments, seconds=UP_SECONDS)

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "30", "--remove-orphans")

    def roll(self, tag: str, *flags: str) -> str:
        self.told["VECTORLINE_TAG"] = tag
        return run.output(
            "deploy/compose/roll", *flags, environment=self.environment, cwd=os.fspath(bases.ROOT), seconds=UP_SECONDS
        )

    # ---- containers

    def ids(self, service: str) -> list[str]:
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.where.docker("inspect", container))[0]
        return found

    def state(self, service: str) -> dict[str, Any]:
        """State of a service's only container."""
        (container,) = self.ids(service)
        found: dict[str, Any] = self.inspect(container)["State"]
        return found

    def healthy(self, service: str, replicas: int = 1) -> bool:
        states = [self.inspect(container)["State"] for container in self.ids(service)]
        return [state.get("Health", {}).get("Status") for state in states] == ["healthy"] * replicas

    def kill(self, service: str) -> None:
        """The kernel's way: `docker kill` counts as a stop that somebody wanted, and nothing starts it again."""
        before = self.state(service)
        (container,) = self.ids(service)
        if service == "aws":  # DynamoDB forgets nothing; its stand-in writes once a second, and when it is told to stop
            self.where.docker("restart", "--time", "30", container)
        elif self.where.ours:
            os.kill(before["Pid"], signal.SIGKILL)
        else:
            self.where.docker("kill", container)
            self.where.docker("start", container)
        lines.wait_for(
            f"{service} runs again",
            lambda: self.state(service)["StartedAt"] != before["StartedAt"] and self.state(service)["Running"],
            HEALTHY_SECONDS,
        )

    def python(self, service: str, script: str, *arguments: str, seconds: float = 60.0) -> str:
        """Run a script in a service's container (of several, the first)."""
        return self.compose("exec", "-T", service, "python", "-", *arguments, stdin=script.encode(), seconds=seconds)

    def logs(self) -> str:
        with contextlib.suppress(run.Failed):
            return self.compose("logs", "--no-color", "--tail", "60")
        return ""

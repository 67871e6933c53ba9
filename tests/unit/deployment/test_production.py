"""deploy/compose/production.yml on top of docker-compose.yml: what one host in production runs, and what not."""

import json
import os
import subprocess
from typing import Any

import pytest
import yaml

from tests.containers import debian, run
from tests.unit.deployment import code

FILE = code.ROOT / "deploy" / "compose" / "production.yml"
OURS = (*code.SERVICES, "gateway", "init")
DIGEST = "sha256:" + "a" * 64
SECRETS = ("API_KEY", "INTERNAL_TOKEN", "OPENAI_API_KEY", "PINECONE_API_KEY", "REDIS_URL")
GIVEN = {
    "AWS_REGION": "eu-central-1",
    "LOG_GROUP": "/vectorline/production",
    "VECTORLINE_IMAGE": f"registry/vectorline@{DIGEST}",
    "ENVOY_IMAGE": f"envoyproxy/envoy@{DIGEST}",
    **{name: f"arn:aws:secretsmanager:eu-central-1:1:secret:{name.lower()}" for name in SECRETS},
}
# What a developer's .env may hold, and no container of production may see.
STRAY = {"AWS_ENDPOINT_URL": "http://aws:4566", "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}


class Reset:
    """A value that !reset takes away."""


class Loader(yaml.SafeLoader):
    """Compose's two tags: !reset is nothing, !override is its value."""


Loader.add_constructor("!reset", lambda loader, node: Reset())
Loader.add_constructor(
    "!override",
    lambda loader, node: (
        loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node)
    ),
)


@pytest.fixture(scope="module")
def overlay() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(FILE.read_text(), Loader)
    return found["services"]  # type: ignore[no-any-return]


def test_every_service_is_either_there_or_taken_away(overlay: dict[str, Any], services: dict[str, Any]) -> None:
    away = {name for name, service in overlay.items() if isinstance(service, Reset)}

    assert set(overlay) == set(services)
    assert away == {"valkey", "aws", "openai", "pinecone"}


def test_images_are_named_by_whoever_deploys_and_nothing_is_built(overlay: dict[str, Any]) -> None:
    for name in OURS:
        assert overlay[name]["image"].startswith("${VECTORLINE_IMAGE:?"), name
        assert isinstance(overlay[name]["build"], Reset), name
    assert overlay["envoy"]["image"].startswith("${ENVOY_IMAGE:?")


def test_secrets_are_asked_for_and_none_is_written(overlay: dict[str, Any]) -> None:
    told = {name: overlay[name]["environment"] for name in OURS}

    for name in (*code.SERVICES, "init"):
        for secret in SECRETS:
            if secret in told[name]:
                assert told[name][secret].startswith(f"${{{secret}:?"), (name, secret)
        assert {"API_KEY", "INTERNAL_TOKEN"} <= told[name].keys()
        for stray in (*STRAY, "AWS_SESSION_TOKEN"):
            if name != "gateway":
                assert isinstance(told[name][stray], Reset), (name, stray)
    assert "OPENAI_API_KEY" in told["embedder"]
    assert "PINECONE_API_KEY" in told["indexer"]


def test_a_service_has_the_time_to_drain_and_its_log_leaves_the_host(overlay: dict[str, Any]) -> None:
    drain = sum(float(value) for name in ("LEAVE_SECONDS", "GRACE_SECONDS") for value in code.defaults()[name])

    for name, service in overlay.items():
        if not isinstance(service, Reset):
            assert service["logging"]["driver"] == "awslogs", name
            assert service["logging"]["options"]["mode"] == "non-blocking", name
    for name in code.SERVICES:
        assert float(overlay[name]["stop_grace_period"].removesuffix("s")) > drain


def merged(**given: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    files = ("-f", "docker-compose.yml", "-f", str(FILE))
    return subprocess.run(
        ["docker", "compose", "--env-file", "/dev/null", *files, "config", "--format", "json"],
        cwd=code.ROOT,
        env={**inherited, **given},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compose_reads() -> None:
    try:
        said = run.output("docker", "compose", "version", "--short")
    except run.Failed:
        said = ""
    if not debian.compose_is_new_enough(said):
        pytest.skip("needs Docker Compose 2.24 or later, but no engine; `make containers` brings one as root")


@pytest.mark.usefixtures("compose_reads")
def test_compose_merges_the_two_files_into_what_is_said_here() -> None:
    ran = merged(**GIVEN, **STRAY)

    assert ran.returncode == 0, ran.stderr
    services = json.loads(ran.stdout)["services"]
    assert set(services) == {"envoy", "gateway", *code.SERVICES}
    for name in code.SERVICES:
        service = services[name]
        assert "build" not in service
        assert not service.get("depends_on")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["logging"]["driver"] == "awslogs"
        assert service["image"].endswith(DIGEST)
        told = {key: value for key, value in service["environment"].items() if value is not None}
        assert not told.keys() & {*STRAY, "REDIS_PASSWORD", "REDIS_HOST"}
        assert told["ENVIRONMENT"] == "production"


@pytest.mark.usefixtures("compose_reads")
@pytest.mark.parametrize("missing", ["VECTORLINE_IMAGE", "ENVOY_IMAGE", "LOG_GROUP", "API_KEY", "REDIS_URL"])
def test_what_is_missing_is_asked_for_by_name(missing: str) -> None:
    ran = merged(**{name: value for name, value in GIVEN.items() if name != missing})

    assert ran.returncode != 0
    assert missing in ran.stderr

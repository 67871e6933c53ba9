"""deploy/compose/roll with an engine that is a script: what it refuses before it touches anything."""

import os
import pathlib
import stat
import subprocess

import pytest

from tests.unit.deployment import code

ROLL = code.ROOT / "deploy" / "compose" / "roll"

# Two replicas of each service, of which `old` runs another image; what would change something is written down.
DOCKER = r"""#!/usr/bin/env bash
case "$*" in
  "compose version --short") [[ -n $FAKE_COMPOSE ]] && echo "$FAKE_COMPOSE" ;;
  *"config --hash"*) echo "service hash" ;;
  *"compose --progress quiet config")
    for each in ingest embedder indexer; do printf '  %s:\n    image: vectorline:new\n' "$each"; done
    printf '    environment:\n      API_KEY: %s\n      OPENAI_API_KEY: arn:aws:x\n' "$FAKE_KEY" ;;
  *"ps --quiet envoy") echo "$FAKE_ENVOY" ;;
  *"ps --quiet embedder") echo old; echo new ;;
  *"ps --quiet"*) echo new ;;
  "image inspect"*) echo image-new ;;
  inspect*" old") echo "hash image-old" ;;
  inspect*" new") echo "hash image-new" ;;
  *) echo "$*" >> "$FAKE_LOG" ;;
esac
"""


@pytest.fixture
def asked(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder of the engine; `log` there holds what it was asked to change."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "log").touch()
    return tmp_path


def roll(engine: pathlib.Path, *flags: str, **told: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": f"{engine}:{os.environ['PATH']}",
        "FAKE_LOG": str(engine / "log"),
        "FAKE_COMPOSE": "2.26.1-4",
        "FAKE_ENVOY": "envoy",
        "FAKE_KEY": "arn:aws:secretsmanager:x",
        **told,
    }
    return subprocess.run([ROLL, *flags], env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("version", ["", "1.29.2", "2.9.0", "v2.23.3"])
def test_a_compose_that_does_not_read_the_files_is_named_with_the_remedy(asked: pathlib.Path, version: str) -> None:
    ran = roll(asked, "--dry-run", FAKE_COMPOSE=version)

    assert ran.returncode == 1
    assert "2.24 or later" in ran.stderr
    assert version.removeprefix("v") in ran.stderr


@pytest.mark.parametrize("version", ["2.24.0", "v2.29.7", "2.26.1-4", "5.1.0"])
def test_a_compose_that_reads_them_is_taken(asked: pathlib.Path, version: str) -> None:
    assert roll(asked, "--dry-run", FAKE_COMPOSE=version).returncode == 0


def test_in_production_a_secret_that_is_written_out_is_refused_by_name_and_not_shown(asked: pathlib.Path) -> None:
    files = "docker-compose.yml:deploy/compose/production.yml"

    refused = roll(asked, "--dry-run", COMPOSE_FILE=files, FAKE_KEY="sk-plain")

    assert refused.returncode == 1
    assert "API_KEY" in refused.stderr
    assert "OPENAI_API_KEY" not in refused.stderr
    assert "sk-plain" not in refused.stderr
    assert roll(asked, "--dry-run", COMPOSE_FILE=files).returncode == 0
    assert roll(asked, "--dry-run", FAKE_KEY="sk-plain").returncode == 0  # a laptop


def test_what_is_as_it_should_be_is_left_alone_and_a_dry_run_changes_nothing(asked: pathlib.Path) -> None:
    ran = roll(asked, "--dry-run")

    assert ran.stderr == "roll: embedder: old would be replaced.\n"
    assert (asked / "log").read_text() == ""


def test_a_line_that_does_not_run_is_not_rolled(asked: pathlib.Path) -> None:
    ran = roll(asked, FAKE_ENVOY="")

    assert ran.returncode == 1
    assert "docker compose up --wait" in ran.stderr


def test_what_it_does_not_know_is_usage(asked: pathlib.Path) -> None:
    ran = roll(asked, "--bakc")

    assert ran.returncode == 2
    assert "--back" in ran.stderr

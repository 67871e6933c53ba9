"""Failpoints fire where and as often as they are told, and cost nothing when nobody tells them."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from services.runtime import failpoints

ROOT = pathlib.Path(__file__).resolve().parents[3]
DIES_AT_THE_THIRD = """
from services.runtime import failpoints
for number in range(5):
    print(number, flush=True)
    failpoints.hit("a.b", lambda: f"text {number}")
"""


def run(spec: str, folder: pathlib.Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "FAILPOINT": spec, "FAILPOINT_DIR": str(folder or "")}
    return subprocess.run(
        [sys.executable, "-c", DIES_AT_THE_THIRD],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_happens_unless_it_is_set() -> None:
    done = run("")

    assert done.returncode == 0
    assert done.stdout.split() == ["0", "1", "2", "3", "4"]


def test_a_kill_at_the_third_hit() -> None:
    done = run("a.b:kill@3")

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


def test_other_places_are_passed() -> None:
    assert run("a.c:kill, b:error").returncode == 0


def test_a_process_that_is_started_again_does_not_die_of_it_again(tmp_path: pathlib.Path) -> None:
    assert run("a.b:kill", tmp_path).returncode == -signal.SIGKILL
    assert run("a.b:kill", tmp_path).returncode == 0


def test_it_fires_as_often_as_it_says(tmp_path: pathlib.Path) -> None:
    codes = [run("a.b:kill*2", tmp_path).returncode for _ in range(3)]

    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]


def test_a_text_is_met_again_and_again(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        done = run("a.b:kill~text 3", tmp_path)
        assert done.returncode == -signal.SIGKILL
        assert done.stdout.split() == ["0", "1", "2", "3"]


def test_rules_in_a_file_may_come_and_go(tmp_path: pathlib.Path) -> None:
    rules = tmp_path / "rules"
    assert run(f"@{rules}").returncode == 0
    rules.write_text("a.b:error")
    assert "FailpointError" in run(f"@{rules}").stderr


def test_a_rule_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.b:explode"):
        failpoints.parse("a.b:explode")


def test_counts_and_texts_are_read() -> None:
    rule = failpoints.parse("a.b:sleep=1.5@3*2~x:y")["a.b"]

    assert (rule.action, rule.seconds, rule.first_hit, rule.times, rule.text) == ("sleep", 1.5, 3, 2, "x:y")

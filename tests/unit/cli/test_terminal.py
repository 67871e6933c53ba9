"""What a person sees: the command in its own process, its stdout a terminal or a pipe."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from tests.support import processes
from tests.unit.cli import fake_line

CONTROL = "\x1b["
COMMAND = [sys.executable, "-m", "cli"]
ROOT = os.getcwd()


@pytest.fixture
def environment(line):
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**clean, **line.environment, "TERM": "xterm-256color", "PYTHONPATH": f"{ROOT}:{ROOT}/build/protos"}


@pytest.fixture
def a_task_in_three_steps(line):
    line.watches.append(
        [
            fake_line.task("processing"),
            fake_line.task("processing_chunks", total=9000, indexed=3000),
            fake_line.task("completed", total=9000, indexed=9000),
        ]
    )


def in_a_terminal(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    with processes.running([*COMMAND, *arguments], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            seen += piece
        os.close(ours)
        return process.wait(), seen.decode()


@pytest.mark.usefixtures("a_task_in_three_steps")
def test_a_terminal_gets_a_moving_bar_in_colour(environment):
    code, seen = in_a_terminal(["watch", fake_line.TASK_ID], environment)

    assert code == 0
    assert CONTROL in seen
    assert "━" in seen
    assert "completed" in seen


@pytest.mark.usefixtures("a_task_in_three_steps")
@pytest.mark.parametrize("change", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_get_plain_lines(environment, change):
    code, seen = in_a_terminal(["watch", fake_line.TASK_ID], {**environment, **change})

    assert code == 0
    assert "\x1b" not in seen
    assert "processing_chunks: 3,000 of 9,000 rows (33 %)" in seen


@pytest.mark.usefixtures("a_task_in_three_steps")
def test_a_pipe_gets_plain_lines(environment):
    done = subprocess.run(
        [*COMMAND, "watch", fake_line.TASK_ID], capture_output=True, text=True, env=environment, check=False
    )

    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "processing_chunks: 3,000 of 9,000 rows (33 %)" in done.stdout


def test_an_error_in_a_terminal_is_red_and_in_a_pipe_plain(environment):
    lost = {**environment, "INDEXER_ADDR": "127.0.0.1:1"}

    _, seen = in_a_terminal(["status", "x"], lost)
    piped = subprocess.run([*COMMAND, "status", "x"], capture_output=True, text=True, env=lost, check=False)

    assert "\x1b[1;31m✗ The line cannot be reached" in seen
    assert piped.stderr.startswith("✗ The line cannot be reached")


def test_ctrl_c_during_a_watch_detaches_and_says_how_to_go_on(line, environment):
    holding = threading.Event()
    line.watches.append([fake_line.task("processing"), holding.set, line.released.wait])
    with processes.running(
        [*COMMAND, "watch", fake_line.TASK_ID],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout.readline() == "processing\n"
        assert holding.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"vectorline watch {fake_line.TASK_ID}" in out
    assert f"vectorline cancel {fake_line.TASK_ID}" in out
    assert err == ""
    assert "CancelTask" not in line.calls


def test_ctrl_c_during_an_upload_stops_it(line, environment, tmp_path):
    holding = threading.Event()
    (tmp_path / "big.csv").write_bytes(b"x" * 2**23)
    line.on_upload = lambda: (holding.set(), line.released.wait())
    with processes.running(
        [*COMMAND, "process", str(tmp_path / "big.csv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert holding.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Upload stopped" in out
    assert err == ""
    assert line.upload_sha256 == ""


def test_a_reader_that_goes_away_is_no_traceback(line, environment):
    line.rejects = [b"x" * 2**20] * 8
    with processes.running(
        [*COMMAND, "rejects", fake_line.TASK_ID], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
        process.wait(60)

    assert b"Traceback" not in err
    assert b"Exception" not in err

"""`vectorline top` on a terminal of its own: what the line's calls say, at 80 by 24, until q."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

import grpc
import pytest
from vectorline.v1 import monitoring_pb2

from cli.top import snapshot, view
from tests.unit.cli import fake_line, test_terminal
from vectorline_client import messages

NOON = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)


def health(status: str = "healthy", waiting: int = 12) -> monitoring_pb2.DetailedHealth:
    told = monitoring_pb2.DetailedHealth(status=status, version="0.1.0", environment="staging")
    told.services.update({"openai": "healthy", "pinecone": "unhealthy"})
    told.workers.active, told.workers.available = 3, 5
    told.workers.workers.add(name="embedder-1-a", active=3, available=5)
    told.queues.waiting, told.queues.pending = waiting, 8
    told.queues.bytes, told.queues.most_bytes, told.queues.oldest_seconds = 3 * 2**20, 256 * 2**20, 65.0
    told.queues.queues.add(name="first", waiting=1, pending=0)
    told.queues.queues.add(name="normal", waiting=11, pending=8)
    told.limiter.requests_per_second, told.limiter.configured_requests_per_second = 3.5, 5
    told.limiter.tokens_per_minute, told.limiter.configured_tokens_per_minute = 700_000, 1_000_000
    told.limiter.factor, told.limiter.pause_seconds = 0.7, 2.5
    told.problems.append("pinecone does not answer.")
    told.timestamp.FromDatetime(NOON)
    return told


def dashboard(tasks: int = 1) -> monitoring_pb2.Dashboard:
    told = monitoring_pb2.Dashboard()
    told.timestamp.FromDatetime(NOON)
    told.open_by_status.update({"processing_chunks": tasks, "queued": 2, "pending": 0})
    done = told.statistics
    done.hours, done.tasks, done.rows_indexed, done.failure_rate, done.rows_per_second = 24, 7, 1_234_567, 0.02, 512
    for number in range(tasks):
        pace = told.active.add(task_id=f"{number:08x}-0b51", status="processing_chunks", rows_per_second=250)
        pace.progress.total_records, pace.progress.processed_records, pace.progress.percentage = 10_000, 2_500, 25.0
        pace.estimated_completion_time.FromDatetime(NOON + datetime.timedelta(seconds=30))
    told.anomalies.add(severity="critical", message="A task is blocked: the account refuses.")
    return told


@pytest.fixture
def whole(line):
    """A line that tells operators too."""
    line.answers["GetDetailedHealth"], line.answers["GetDashboard"] = health(), dashboard()
    return line


@pytest.fixture
def environment(whole):
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**clean, **whole.environment, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)}


class Terminal:
    """`top` on a pseudo terminal; `text` is what it has written so far."""

    def __init__(self, environment: dict[str, str], columns: int = 80, lines: int = 24) -> None:
        self.keyboard, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        command = [*test_terminal.COMMAND, "top", "--every", "0.3"]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._seen = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self.keyboard, 65_536)
            except OSError:  # the other end is closed
                return
            self._seen += piece

    @property
    def text(self) -> str:
        return self._seen.decode(errors="replace")

    def await_text(self, *wanted: str, after: int = 0) -> None:
        deadline = time.monotonic() + 60
        while not all(each in plain(self.text[after:]) for each in wanted):
            assert time.monotonic() < deadline, (wanted, plain(self.text[after:]))
            assert self.process.poll() is None, self.text
            time.sleep(0.05)

    def press(self, key: str) -> None:
        os.write(self.keyboard, key.encode())

    def end(self) -> int:
        code = self.process.wait(30)
        self._reading.join(10)
        os.close(self.keyboard)
        return code


@pytest.fixture
def terminal(environment):
    shown = Terminal(environment)
    yield shown
    if shown.process.poll() is None:
        shown.process.kill()
        shown.process.wait()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_it_shows_what_the_line_says_until_q(terminal):
    terminal.await_text("12 chunks waiting, 8 in work", "3.5 of 5 requests/s", "embedder-1-a", "25.0 %", "0:30 left")
    terminal.await_text("1,234,567 rows indexed", "2.00 % failed", "512 rows/s", "✗ pinecone", "the account refuses")
    assert "\x1b[?1049h" in terminal.text, "the whole screen is its own ..."

    terminal.press("x")
    terminal.press("\x1b[A")
    terminal.press("q")

    assert terminal.end() == 0
    assert terminal.text.rindex("\x1b[?1049l") > terminal.text.rindex("12 chunks"), "... and is given back"
    assert "x" not in plain(terminal.text).splitlines()[-1], "what is typed is not shown"


def test_it_follows_the_line_and_says_when_that_does_not_answer(terminal, whole):
    terminal.await_text("12 chunks waiting")
    whole.answers["GetDetailedHealth"] = health("degraded", waiting=99)
    terminal.await_text("99 chunks waiting", "degraded")

    before = len(terminal.text)
    whole.refusals["GetDashboard"].extend([fake_line.Refusal(grpc.StatusCode.PERMISSION_DENIED, "Not yours.")] * 3)
    terminal.await_text("no answer: Not yours.", "99 chunks waiting", after=before)
    before = len(terminal.text)
    terminal.await_text("q quits", after=before)
    terminal.press("q")
    assert terminal.end() == 0


def test_a_pipe_gets_one_look_and_programs_get_json(environment):
    def run(*arguments: str) -> str:
        command = [*test_terminal.COMMAND, "top", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "12 chunks waiting" in run()
    told = json.loads(run("--json"))
    assert told["health"]["queues"]["waiting"] == 12
    assert told["dashboard"]["statistics"]["rows_indexed"] == 1_234_567


def test_a_line_that_is_not_there_ends_it_by_name(environment, whole):
    whole.close()
    command = [*test_terminal.COMMAND, "top", "--once"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert ended.stderr.startswith("✗")


def taken(tasks: int, workers: int, problems: int) -> snapshot.Snapshot:
    return snapshot.Snapshot(
        messages.DetailedHealth(
            status="unhealthy",
            services={f"service-{number}": "healthy" for number in range(12)},
            workers=messages.WorkersView(workers=tuple(messages.Worker(name=f"w{n}" * 40) for n in range(workers))),
            problems=tuple(f"problem {number}: \x1b[2J{'long ' * 40}" for number in range(problems)),
        ),
        messages.Dashboard(
            active=tuple(
                messages.TaskPace(task_id=f"task-{number}", status="processing_chunks", stalled_since=NOON)
                for number in range(tasks)
            )
        ),
    )


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (80, 25), (132, 50), (200, 70), (40, 10), (10, 3)])
@pytest.mark.parametrize(("tasks", "workers", "problems"), [(0, 0, 0), (1, 1, 1), (20, 100, 0), (0, 1, 50), (20, 2, 9)])
def test_it_fits_whatever_there_is_to_show(columns: int, lines: int, tasks: int, workers: int, problems: int):
    shown = view.frame(taken(tasks, workers, problems), "away " * 50, columns=columns, lines=lines).plain
    assert len(shown.splitlines()) <= lines
    assert max(map(len, shown.splitlines())) <= columns
    assert "\x1b" not in shown
    if lines < 24:
        return
    for section in ("queue", "limiter", "workers", "tasks", "warnings"):
        assert f"── {section}" in shown
    if problems:
        assert "! problem 0" in shown
    if tasks == 20 and lines == 24:
        assert re.search(r"… \d+ more tasks", shown)
    assert ("task-0" in shown) == (tasks > 0)


def test_what_does_not_answer_is_said_where_its_numbers_would_be():
    shown = view.frame(taken(0, 0, 0), "", columns=80, lines=24).plain
    assert shown.count(view.ABSENT) == 2, "queue and limiter"

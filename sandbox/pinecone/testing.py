"""For tests: a stand-in in a process of its own, that can be killed and started again, and its `/_sandbox/` API."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib import parse, request

import orjson

_STOP_SECONDS = 10


class Process:
    """A running stand-in."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        """Start it on a free port and wait until it says that it listens."""
        self._data_dir = data_dir
        self._flags = flags
        self._start("0")

    def _start(self, port: str) -> None:
        arguments = ("--port", port, "--data-dir", str(self._data_dir), *self._flags)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_PINECONE_")}
        self._process = subprocess.Popen(
            (sys.executable, "-m", "sandbox.pinecone", *arguments), stdout=subprocess.PIPE, text=True, env=environment
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if "listening on" not in line:
            self._end(signal.SIGTERM)
            raise RuntimeError(f"the stand-in did not start: {line!r}")
        self.url = line.rsplit(" ", 1)[1].strip()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill_and_restart(self) -> None:
        """SIGKILL, then start again on the same port."""
        self._end(signal.SIGKILL)
        self._start(self.url.rsplit(":", 1)[1])

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        status = self._process.wait(_STOP_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()
        return status

    def set_faults(self, *rules: dict[str, Any]) -> None:
        """Put rules in place of all others; none: clear them."""
        self._call("PUT", "/_sandbox/faults", orjson.dumps(rules))

    def requests(self, **parameters: str) -> dict[str, Any]:
        """Return the journal: `by_op` and the last `requests`."""
        report: dict[str, Any] = orjson.loads(self._call("GET", f"/_sandbox/requests?{parse.urlencode(parameters)}"))
        return report

    def move(self, index: str) -> None:
        """Put an index on another host."""
        self._call("POST", f"/_sandbox/move?{parse.urlencode({'index': index})}")

    def forget_requests(self) -> None:
        """Empty the journal."""
        self._call("DELETE", "/_sandbox/requests")

    def dump(self, index: str, namespace: str = "") -> list[dict[str, Any]]:
        """Return `id`, `sha256` of the float32 bytes and `metadata` of every vector."""
        parameters = parse.urlencode({"index": index, "namespace": namespace})
        return [orjson.loads(line) for line in self._call("GET", f"/_sandbox/dump?{parameters}").splitlines()]

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with request.urlopen(request.Request(self.url + path, body, method=method)) as response:
            answer: bytes = response.read()
            return answer


@contextlib.contextmanager
def running(data_dir: Path, *flags: str) -> Iterator[Process]:
    """Run a stand-in for the length of a `with` block."""
    process = Process(data_dir, *flags)
    try:
        yield process
    finally:
        process.stop()

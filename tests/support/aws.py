"""A real ministack (DynamoDB and S3) for tests: on a free port, in memory only, one a session."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from tests.support import ports

_START_SECONDS = 30
# botocore wants some; ministack takes any.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class AwsServer:
    """One ministack process. Give it folders of state to keep it over a restart."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True)
        self.log = pathlib.Path(self._folder.name) / "ministack.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on a free port; returns when it serves."""
        for _ in range(3):
            self.port = self.port or ports.free()
            environment = {
                **os.environ,
                **CREDENTIALS,
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.port),
                "PERSIST_STATE": "0",
                "STATE_DIR": self._folder.name,
                "S3_DATA_DIR": self._folder.name,
            }
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [str(pathlib.Path(sys.executable).parent / "ministack")],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder.name,
                )
            if self._serves(self._process):
                return
            self.close_process()
            self.port = 0
        raise RuntimeError(f"ministack does not start; see {self.log}")

    def _serves(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=1):
                    return True
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.05)
        return False

    def close_process(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=10)

    def close(self) -> None:
        """End it and remove its folder."""
        self.close_process()
        self._folder.cleanup()


@contextlib.contextmanager
def running() -> Iterator[AwsServer]:
    """A server of one's own."""
    server = AwsServer()
    try:
        server.start()
        yield server
    finally:
        server.close()

"""What stands here for servers that AWS runs: Valkey with a password, where ElastiCache's endpoint points."""

import contextlib
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Final

from sandbox.line import servers

START_SECONDS: Final = 30.0


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def valkey(folder: pathlib.Path, port: int, password: str) -> Iterator[None]:
    """A Valkey that wants a password, with the policy of the stack's parameter group."""
    command = [servers.valkey(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--requirepass", password, "--maxmemory", "512mb", "--maxmemory-policy", "noeviction", "--save", ""]
    with (folder / "valkey.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)  # between two looks, bounded by the deadline
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)

"""A program that a test starts ends with the test, however that ends."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def running(command: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run `command` with Popen's arguments.

    It hears Ctrl-C also where the tests do not, as in a shell script's background: who is started with SIGINT ignored
    goes on ignoring it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, **more)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:  # closes its pipes and waits
        try:
            yield process
        finally:
            process.kill()

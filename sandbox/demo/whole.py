"""``make demo``: the demo with a line of its own, unless one is up already.

What it starts it stops, however the demo ends; a line that was up is left alone.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from sandbox.line import run_dir

LINE: Final = (sys.executable, "-m", "sandbox")
DEMO: Final = (sys.executable, "-m", "sandbox.demo")

Run = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the demo; `arguments` are handed to it.

    Returns:
        Its exit code, or that of the start where the line did not come up.
    """
    signal.signal(signal.SIGTERM, _stop)
    return around(run_dir.current().supervised(), _run, arguments)


def around(was_up: bool, run: Run, arguments: Sequence[str] = ()) -> int:
    """Run the demo by `run`, with a start before and a stop after it unless the line `was_up`."""
    if was_up:
        return run([*DEMO, *arguments])
    try:
        return run([*LINE, "up"]) or run([*DEMO, *arguments])
    finally:
        run([*LINE, "down"])


def _run(command: Sequence[str]) -> int:
    # `down` hears no Ctrl-C: a second one must not leave half a line behind.
    with subprocess.Popen(command, start_new_session=command[-1] == "down") as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # it got the same Ctrl-C, and ends by itself
            raise
        except SystemExit:
            process.terminate()
            raise


def _stop(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)

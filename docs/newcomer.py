"""Walks docs/tutorial.md as a newcomer would, with a clock: ``make newcomer``. It needs nothing but Python and git.

What is committed is cloned into a folder of its own, so nothing that this clone has installed is used, but the caches
of the package installers. Every step says how long it took; over five minutes in all is a failure.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support import examples  # noqa: E402 (the repository is on the path only now)

LIMIT_SECONDS = 300.0
# What a developer's shell may have set and a newcomer has not.
FOREIGN = re.compile(
    "VIRTUAL_ENV|RUN_DIR|GATEWAY_URL|(REDIS|AWS|OPENAI|PINECONE|METABASE|API|INTERNAL|S3|INGEST|EMBEDDER|INDEXER)_"
)


class Clock:
    """Says what each step took."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._last - self._began

    def took(self, what: str) -> None:
        """A step has ended."""
        now = time.monotonic()
        sys.stdout.write(f"{now - self._last:7.1f} s  {what}\n")
        sys.stdout.flush()
        self._last = now


def main() -> int:
    """Walk; the exit code is 1 where it took too long."""
    with tempfile.TemporaryDirectory(prefix="vectorline-newcomer-") as folder, _clean(pathlib.Path(folder)) as clone:
        environment = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        # As `source .venv/bin/activate` leaves it.
        environment |= {"PATH": f"{clone / '.venv' / 'bin'}:{os.environ['PATH']}"}
        clock = Clock()
        _run(["git", "clone", "--quiet", str(ROOT), str(clone)], pathlib.Path(folder), environment)
        clock.took("git clone")
        _run(["make", "demo"], clone, environment)
        clock.took("make demo")
        said = _run(["make", "up"], clone, environment)
        clock.took("make up")
        environment |= _look(said)
        clock.took("the console, as make up names it")
        steps = 0

        def step(example: examples.Example) -> None:
            nonlocal steps
            steps += 1
            clock.took(f"docs/tutorial.md:{example.line}")

        examples.run(clone / "docs" / "tutorial.md", {}, folder=clone, environment=environment, told=step)
    if steps < len(list(examples.of(ROOT / "docs" / "tutorial.md"))):
        return 1
    sys.stdout.write(f"{clock.seconds:7.1f} s  in all; {LIMIT_SECONDS:.0f} are the limit\n")
    return 0 if clock.seconds <= LIMIT_SECONDS else 1


@contextmanager
def _clean(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the clone goes; its line is stopped at the end, whatever happens."""
    clone = folder / "vectorline"
    try:
        yield clone
    finally:
        if (clone / "Makefile").exists():
            subprocess.run(["make", "clean"], cwd=clone, capture_output=True, check=False)


def _run(command: list[str], folder: pathlib.Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _look(said: str) -> dict[str, str]:
    """Open the console by what `make up` printed: its page, and the tasks with the key."""
    found = re.search(r"console +(\S+)/ .*^ *API key +(\S+)", said, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"make up names no console, or no key:\n{said}")
    address, key = found.groups()
    with urllib.request.urlopen(f"{address}/") as page:
        if b"<vl-app" not in page.read():
            raise SystemExit(f"{address}/ is not the console")
    asked = urllib.request.Request(f"{address}/api/v1/tasks", headers={"X-API-Key": key})
    with urllib.request.urlopen(asked) as answer:
        if [task["metadata"]["namespace"] for task in json.load(answer)] != ["demo"]:
            raise SystemExit("The demo's task is not there any more.")
    return {"GATEWAY_URL": address, "API_KEY": key}


if __name__ == "__main__":
    sys.exit(main())

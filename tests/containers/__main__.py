"""Builds the images and runs the line in containers: `make containers`, `python -m tests.containers`.

Finds an engine or starts Debian's (engine.py), has the three base images there (bases.py), then runs the steps
(steps.py) where published ports are reached. `--doc FILE` keeps the table between the marks of that file.
"""

# ruff: noqa: T201 (it prints a table)
import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import time

from tests.containers import bases, engine, project, run, steps, table

FOLDER = bases.ROOT / "build" / "containers"
NOT_HERE = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doc", type=pathlib.Path, help="Keep the table in this file.")
    parser.add_argument("--within", help=argparse.SUPPRESS)  # of the engine's network: what it said of itself
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if chosen.within is not None:
        here = engine.Engine(chosen.within, {}, ours=chosen.ours)
        return _steps(here, chosen.doc)
    try:
        return _outside(chosen.doc)
    except engine.NoEngine as error:
        print(f"Nothing was run in containers. {error}", file=sys.stderr)
        return NOT_HERE


def _outside(doc: pathlib.Path | None) -> int:
    """Provide engine and bases, then run the rest where published ports are."""
    with engine.found_or_started(FOLDER) as found:
        print(f"engine {found.said}", flush=True)
        said = f"{found.said}; {bases.provide(found, FOLDER)}"
        print(f"bases  {said.partition('; ')[2]}", flush=True)
        command = [*found.inside, sys.executable, "-m", "tests.containers", "--within", said]
        command += ["--ours"] * found.ours + (["--doc", os.fspath(doc)] if doc else [])
        return subprocess.run(command, env={**os.environ, **found.environment}, cwd=bases.ROOT, check=False).returncode


def _steps(here: engine.Engine, doc: pathlib.Path | None) -> int:
    began = time.monotonic()
    where = project.Project(here, project.settings(FOLDER, steps.FIRST))
    steps_ = steps.Run(where, lambda row: print(table.line(row), flush=True))
    try:
        steps_.all()
    except (AssertionError, run.Failed) as error:
        (FOLDER / "failed.log").write_text(where.logs())
        print(f"FAILED: {error}\nThe containers' last lines are in {FOLDER / 'failed.log'}.", file=sys.stderr)
        return 1
    finally:
        with contextlib.suppress(run.Failed):
            where.down()
    print(f"\n{table.markdown(here.said, steps_.rows, time.monotonic() - began)}")
    if doc is not None:
        table.keep(doc, table.markdown(here.said, steps_.rows, time.monotonic() - began))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

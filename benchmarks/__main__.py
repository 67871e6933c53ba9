"""Measures everything, or the scenarios that are named: `python -m benchmarks [--rows N] [--repeats N] [NAME ...]`.

Other servers of OpenAI's and Pinecone's API are measured against where the environment names them (OPENAI_BASE_URL,
PINECONE_CONTROLLER_HOST, with their keys); a latency or cheap vectors cannot be asked of them.
"""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

from benchmarks import figures, report, scenarios


def main() -> int:
    """Print the table, write it as JSON, and exit 1 when a bar is missed."""
    chosen = _chosen()
    # A bench that is stopped stops its line too: left running, it would be in the figures of the next one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    found: list[figures.Figure] = []
    with tempfile.TemporaryDirectory(prefix="vectorline-bench-files-") as folder:
        run = figures.Run(pathlib.Path(folder), chosen.rows, chosen.repeats, chosen.big_rows, chosen.most_rows)
        for name in chosen.names or scenarios.ALL:
            print(f"-- {name}", flush=True)
            stages, scenario_began = len(run.stages), time.monotonic()
            for figure in scenarios.ALL[name](run):
                found.append(figure)
                print(report.line(figure), flush=True)
            if len(run.stages) > stages:
                print("\n".join(report.stage_lines(run.stages[stages:])), flush=True)
            print(f"     ({time.monotonic() - scenario_began:.0f} s)", flush=True)
    seconds = time.monotonic() - began
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(report.as_json(found, run, seconds), indent=2))
    if chosen.doc:
        report.keep(chosen.doc, found, run, whole=not chosen.names)
    missed = [figure.name for figure in found if not figure.good]
    print(f"\n{len(found) - len(missed)} of {len(found)} rows met in {seconds / 60:.1f} minutes; {chosen.out}")
    return 1 if missed else 0


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(scenarios.ALL)}; default all")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the loads (default 100,000)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats that a median is taken of (default 5)")
    parser.add_argument(
        "--big-rows", type=int, default=1_500_000, help="rows of the big file (default 1.5 million: 1 GB)"
    )
    parser.add_argument("--most-rows", type=int, default=1_000_000, help="where the growth ends (default 1 million)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench.json"), help="JSON file")
    parser.add_argument("--doc", type=pathlib.Path, help="a document to keep the table in, e.g. docs/performance.md")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(scenarios.ALL)
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())

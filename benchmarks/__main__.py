"""Measures everything, or the scenarios that are named: `python -m benchmarks [--rows N] [--repeats N] [NAME ...]`."""

import argparse
import json
import os
import pathlib
import platform
import sys
import tempfile
import time

from benchmarks import scenarios


def main() -> int:
    """Print the table, write it as JSON, and exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(scenarios.ALL)}; default all")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the loads (default 100,000)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats that a median is taken of (default 5)")
    parser.add_argument("--big-rows", type=int, default=1_500_000, help="rows of the big file (default 1.5 million)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench.json"), help="JSON file")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(scenarios.ALL)
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    figures: list[scenarios.Figure] = []
    with tempfile.TemporaryDirectory(prefix="vectorline-bench-files-") as folder:
        run = scenarios.Run(pathlib.Path(folder), chosen.rows, chosen.repeats, chosen.big_rows)
        for name in chosen.names or scenarios.ALL:
            print(f"-- {name}", flush=True)
            for figure in scenarios.ALL[name](run):
                figures.append(figure)
                print(_line(figure), flush=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(_report(figures), indent=2))
    missed = [figure.name for figure in figures if not figure.good]
    print(f"\n{len(figures) - len(missed)} of {len(figures)} bars met; {chosen.out}")
    return 1 if missed else 0


def _line(figure: scenarios.Figure) -> str:
    sign = ">=" if figure.more else "<="
    ideal = f", ideal {figure.ideal:g}" if figure.ideal is not None else ""
    mark = "ok  " if figure.good else "MISS"
    return (
        f"{mark} {figure.name:58} {figure.value:10,.2f} {figure.unit:7} ({sign} {figure.bar:g}{ideal}) {figure.detail}"
    )


def _report(figures: list[scenarios.Figure]) -> dict[str, object]:
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "figures": [
            {
                "name": each.name,
                "value": each.value,
                "unit": each.unit,
                "bar": each.bar,
                "ideal": each.ideal,
                "good": each.good,
                "detail": each.detail,
            }
            for each in figures
        ],
    }


if __name__ == "__main__":
    sys.exit(main())

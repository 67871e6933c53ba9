"""Runs seeds: `python -m tests.simulation --seeds 2000`, or one, with all that happens in it: `--seed 123`."""

# ruff: noqa: T201 (it prints a report)
import argparse
import os
import sys
import time

from tests.simulation import journal, world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="How many.")
    parser.add_argument("--first", type=int, default=1, help="From this one on.")
    parser.add_argument("--seed", type=int, help="Only this one, with its journal.")
    chosen = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # nothing should depend on it; a replay takes no chance
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    if chosen.seed is not None:
        journal.Journal.shown = True
        with world.tidy():
            _show(world.run(chosen.seed))
    return _many(range(chosen.first, chosen.first + chosen.seeds))


def _show(report: world.Report) -> None:
    print("\n".join(["", *report.faults, "", *(report.problems or ["every invariant holds"])]))
    print(f"{report.steps} steps, {report.seconds * 1000:.0f} ms, digest {report.digest}")
    sys.stdout.flush()
    os._exit(bool(report.problems))  # the dead are not to speak while the interpreter goes down


MOST_PROBLEMS = 12


def _many(seeds: range) -> int:
    began = time.perf_counter()
    failed = []
    steps = 0
    with world.tidy() as collect:
        for number, seed in enumerate(seeds, 1):
            report = world.run(seed)
            steps += report.steps
            if report.problems:
                failed.append(seed)
                if len(failed) <= MOST_PROBLEMS:
                    print(f"seed {seed} fails (make simulate SEED={seed}): {report.problems[0][:300]}", flush=True)
            if number % 10 == 0:
                collect()
    seconds = time.perf_counter() - began
    if len(failed) > MOST_PROBLEMS:
        print(f"also {failed[MOST_PROBLEMS:]}")
    speed = f"{len(seeds) / seconds:.0f} seeds and {steps / seconds:,.0f} steps a second"
    print(f"{len(seeds)} seeds, {len(failed)} failed, {seconds:.1f} s: {speed}.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Fuzzes reader, row contract and chunk codec: `python -m tests.fuzz --minutes 5`.

An input that breaks something is written to build/fuzz; `--replay FILE` shows what it does. `--keep` adds new inputs
that reach new code to the corpus in the repository.
"""

# ruff: noqa: T201 (it prints a report)
import argparse
import faulthandler
import pathlib
import random
import secrets
import sys
import time

from tests.fuzz import case, invariants, loop

BROKEN = pathlib.Path("build/fuzz")
# No input may hang: one that does ends the run with its stack.
HANG_SECONDS = 60
_REPORT_SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--keep", action="store_true", help="Add what reaches new code to the corpus.")
    parser.add_argument("--replay", type=pathlib.Path, help="Run one kept input, nothing else.")
    chosen = parser.parse_args()
    if chosen.replay:
        one = case.Case.from_bytes(chosen.replay.read_bytes())
        print(one)
        print(sorted(invariants.check(one, random.Random(one.name))))
        return 0
    return _fuzz(chosen.minutes * 60, chosen.seed, keep=chosen.keep)


def _fuzz(seconds: float, seed: int, *, keep: bool) -> int:
    BROKEN.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    told = (lambda made: made.save(case.CORPUS)) if keep else None
    fuzzer = loop.Fuzzer(list(case.kept().values()), seed, told)
    size = fuzzer.corpus
    print(f"seed {seed}: {size} inputs in the corpus reach {len(fuzzer.seen):,} steps.", flush=True)
    while (left := seconds - (time.monotonic() - began)) > 0 and not fuzzer.found:
        faulthandler.dump_traceback_later(HANG_SECONDS + _REPORT_SECONDS, exit=True)
        fuzzer.run(min(left, _REPORT_SECONDS))
        passed = time.monotonic() - began
        print(
            f"{passed:4.0f} s: {fuzzer.inputs:,} inputs ({fuzzer.inputs / passed:.0f}/s), {len(fuzzer.seen):,} steps, "
            f"{fuzzer.corpus - size} new inputs, slowest {fuzzer.slowest_seconds:.2f} s",
            flush=True,
        )
    faulthandler.cancel_dump_traceback_later()
    print("reasons met:", ", ".join(f"{name or 'usable'} {count:,}" for name, count in sorted(fuzzer.reasons.items())))
    for found in fuzzer.found:
        path = found.case.save(BROKEN)
        print(f"\nBROKEN: {path} (python -m tests.fuzz --replay {path})\n{found.trace}")
    return bool(fuzzer.found)


if __name__ == "__main__":
    sys.exit(main())

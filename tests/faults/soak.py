"""Random faults for a long time: ``python -m tests.faults.soak --minutes 20``.

Only faults that let the services' processes live, so that what they hold can be watched: after a fifth of the time for
warming up, neither resident memory nor open files of any process may go on growing.
"""

import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

import numpy as np

from tests.faults import aws, providers, valkey
from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene

# The patient ones are too slow to be one of many, or want settings of their own.
CELLS = [cell for part in (valkey, providers, aws) for cell in part.CELLS if not (cell.patient or cell.settings)]
MOST_BYTES_A_MINUTE = 1_500_000
MOST_FILES_A_MINUTE = 0.5
SAMPLES_LEAST = 8

Sample = tuple[float, int, int]


def main() -> int:
    """Run; 0 if nothing was lost and nothing grew."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    chosen = arguments.parse_args()
    _say(f"seed {chosen.seed}")
    dice = random.Random(chosen.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    stage = stages.Stage(folder)
    try:
        stage.configure({})
        samples = _soak(stage, dice, chosen.minutes * 60)
    except BaseException:
        _say(f"The logs are kept in {folder}.")
        raise
    finally:
        stage.close()
    shutil.rmtree(folder)
    return 0 if _flat(samples) else 1


def _soak(stage: stages.Stage, dice: random.Random, seconds: float) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {process: [] for process in stage.processes}
    born = {process: stage.line.pid(process) for process in samples}
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        cell = dice.choice(CELLS)
        _say(f"{now:7.0f} s  {cell.name}")
        _cell(stage, cell)
        for process, found in samples.items():
            assert stage.line.pid(process) == born[process], f"{process} died"
            found.append((now, stage.line.resident_bytes(process), len(os.listdir(f"/proc/{born[process]}/fd"))))
    return samples


def _cell(stage: stages.Stage, cell: Cell) -> None:
    stage.reset()
    scene = Scene(stage, cell.name)
    try:
        cell.act(scene)
        scene.check(twice=cell.twice)
    finally:
        scene.close()


def _flat(samples: dict[str, list[Sample]]) -> bool:
    good = True
    _say("| process | resident MB | MB a minute | files | files a minute |\n| --- | --- | ---: | --- | ---: |")
    for process, found in samples.items():
        warm = np.array(found[max(1, len(found) // 5) :], dtype=float)
        if len(warm) < SAMPLES_LEAST:
            _say(f"{process}: too few samples; soak for longer")
            return False
        bytes_a_minute, files_a_minute = (60 * np.polyfit(warm[:, 0], warm[:, column], 1)[0] for column in (1, 2))
        good &= bytes_a_minute < MOST_BYTES_A_MINUTE and files_a_minute < MOST_FILES_A_MINUTE
        _say(
            f"| {process} | {warm[0, 1] / 1e6:.0f} → {warm[-1, 1] / 1e6:.0f} | {bytes_a_minute / 1e6:+.2f}"
            f" | {warm[0, 2]:.0f} → {warm[-1, 2]:.0f} | {files_a_minute:+.2f} |"
        )
    return good


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

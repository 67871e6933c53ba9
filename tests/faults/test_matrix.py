"""Every cell of the fault matrix: a fault happens, and nothing is lost, counted twice or left behind."""

import os
from collections.abc import Callable

import pytest

from tests.faults import (
    aws,
    kills,
    manifests,
    poison,
    processes,
    providers,
    removals,
    servers,
    table,
    turns,
    valkey,
    zombies,
)
from tests.faults.cells import Cell
from tests.faults.scene import Result, Scene
from tests.faults.stage import Stage

KINDS = (kills, valkey, providers, servers, aws, processes, zombies, poison, turns, manifests, removals)
EVERYTHING = [cell for kind in KINDS for cell in kind.CELLS]
# Cells with the same settings follow each other: the line is restarted as seldom as can be.
ORDERED = sorted(EVERYTHING, key=lambda cell: sorted(cell.settings.items()))
PARTS: dict[str, Callable[[Cell], bool]] = {
    "": lambda cell: cell.fast,
    "all": lambda _: True,
    "patient": lambda cell: cell.patient,
    "busy": lambda cell: not cell.patient,
}
CHOSEN = list(filter(PARTS[os.environ.get("FAULTS", "")], ORDERED))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("cell", CHOSEN, ids=lambda cell: cell.name.replace(" ", "-"))
def test_nothing_is_lost_or_counted_twice(stage: Stage, results: list[Result], cell: Cell) -> None:
    stage.configure(cell.settings)
    stage.reset()
    scene = Scene(stage, cell.name)
    try:
        cell.act(scene)
        results.append(scene.check(twice=cell.twice))
        table.keep(results[-1], [each.name for each in EVERYTHING])
    finally:
        scene.close()

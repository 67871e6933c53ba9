"""What a cell of the matrix is."""

import dataclasses
from collections.abc import Callable, Mapping

from tests.faults import scene


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fault.

    Args:
        name: The fault, in words; a line of the table.
        act: Submits, harms, waits; everything else is checked after it.
        twice: So many texts may be bought again because of it.
        settings: Of the services, on top of the stage's.
        fast: Also part of `make test`.
        patient: It waits more than it works, so `make faults` runs it on a second line, beside the others.
    """

    name: str
    act: Callable[[scene.Scene], None]
    twice: int = 0
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fast: bool = False
    patient: bool = False

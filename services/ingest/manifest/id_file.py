"""Ids in a file, told by the records that say where."""

import os
import pathlib

import numpy as np
from numpy.typing import NDArray


class Ids:
    """A file of ids, from which those of some records are read.

    Each by a call of the system (0.7 us): a mapping would soon hold all of a file whose ids are asked for in any order.

    Args:
        path: The ids, one after the other.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._file = path.open("rb")

    def of(self, found: NDArray[np.void]) -> list[bytes]:
        """The ids of records that have `at` and `size`."""
        file, places = self._file.fileno(), zip(found["at"].tolist(), found["size"].tolist(), strict=True)
        return [os.pread(file, size, at) for at, size in places]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

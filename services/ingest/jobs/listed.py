"""The ids that the index lists of a question, side by side with the entries of its manifest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import records, runs, spool


class Side(NamedTuple):
    """What lies in one range of ids."""

    # Known entries that the index does not list.
    missing: runs.Block
    # Known entries that it does, and the place of each among all that are known.
    present: runs.Block
    places: NDArray[np.int64]
    # Ids that it lists, without an entry.
    strange: Sequence[bytes]
    # Ids that it lists, of which nobody knows what they hold.
    unknown: int


_NONE = runs.Block(np.empty(0, dtype=records.ENTRY), [])


def side_by_side(manifest: Iterable[runs.Block], listed: spool.Spool) -> Iterator[Side]:
    """Yield both, range by range. Blocking.

    Args:
        manifest: Its entries with their ids, sorted.
        listed: The ids of the index.
    """
    before = 0
    for mine, theirs in runs.side_by_side(manifest, listed.sorted()):
        entries, there = mine or _NONE, theirs or _NONE
        known = records.standing(entries.entries) == records.KNOWN
        both, of_theirs = records.places(entries.entries, there.entries)
        listed_too = np.zeros(len(entries), dtype=bool)
        listed_too[both] = True
        without = np.ones(len(there), dtype=bool)
        without[of_theirs] = False
        present = np.flatnonzero(known & listed_too)
        yield Side(
            missing=entries.only(np.flatnonzero(known & ~listed_too)),
            present=entries.only(present),
            places=before + np.cumsum(known)[present] - 1,
            strange=there.only(np.flatnonzero(without)).ids,
            unknown=int(np.count_nonzero(~known & listed_too)),
        )
        before += int(np.count_nonzero(known))

"""What leaves the index by a mirror: gathered while a file is compared, in the order of the ids' hashes."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import comparison, parts, records, runs, store

# Added to what the manifest has of an id that the index does not list.
MISSING = 4


class Leaving:
    """Gathers the ids that are gone from a file.

    Args:
        objects: Where they are written.
        folder: Of the comparison.
    """

    def __init__(self, objects: store.Store, folder: str) -> None:
        self._writer = parts.Writer(objects, f"{folder}gone-")
        self._sum = hashlib.blake2b(digest_size=store.SUM_BYTES)
        self._rows = self._entries = self._kept = 0

    def take(self, old: runs.Block, absent: NDArray[np.bool_]) -> None:
        """Take what is known of some ids (standing.OLD), and which of them no loaded row has."""
        entries = old.entries
        self._entries += len(entries)
        held = entries["held"] == 1
        self._kept += int(np.count_nonzero(absent & held))
        leaving = old.only(np.flatnonzero(absent & ~held))
        if not len(leaving):
            return
        for vector_id in leaving.ids:
            self._sum.update(vector_id + b"\n")
        found = records.copied(leaving.entries, records.SENT)
        found["prior"] = prior(leaving.entries)
        found["chunk"] = (self._rows + np.arange(len(found))) // comparison.DELETED
        self._rows += len(found)
        self._writer.add(runs.Block(found, leaving.ids))

    def finish(self, *, unreadable_rows: int, file_rows: int) -> comparison.Gone:
        """What is gone, once all was taken."""
        return comparison.Gone(
            parts=self._writer.finish(),
            rows=self._rows,
            entries=self._entries,
            kept_rows=self._kept,
            unreadable_rows=unreadable_rows,
            file_rows=file_rows,
            checksum=self._sum.hexdigest(),
        )


def prior(entries: NDArray[np.void]) -> NDArray[np.uint8]:
    """What a manifest had of ids (standing.OLD): MISSING is added where the index does not list them."""
    found = np.where(entries["strange"] == 1, records.ABSENT, records.standing(entries))
    return np.asarray(found + np.where(entries["listed"] == 1, 0, MISSING), dtype=np.uint8)

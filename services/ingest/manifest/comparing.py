"""Makes a comparison: the rows go to disk as they are read, and are joined with the manifest when all were."""

import dataclasses
import pathlib
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import comparison, id_file, leaving, parts, records, runs, sorting, standing, store

# Unchanged rows that are looked at in the index.
SAMPLE_ROWS: Final = 1_000
# A row on disk: where its id is in the file of ids.
_ROW: Final = np.dtype([*records.ENTRY.descr, ("row", "<u8"), ("chunk", "<u4"), ("at", "<u8"), ("size", "<u2")])


class Surveyed(NamedTuple):
    """A chunk of the task as the split would make it, and the usable rows in it."""

    number: int
    rows: int
    skipped: int
    rejected: int
    # Of each usable row: its number, the bytes of its id, and 40 bytes.
    row_numbers: Sequence[int] | NDArray[np.uint64]
    sizes: Sequence[int] | NDArray[np.uint16]
    entries: bytes
    # Their ids, one after the other.
    ids: bytes
    # Of a mirror's rows that are not usable the hashes of their ids, 16 bytes each.
    held: bytes = b""
    # Rows of a mirror whose id cannot be read.
    unreadable: int = 0


class Sampled(NamedTuple):
    """An unchanged row: what the index must hold."""

    vector_id: str
    # 40 bytes.
    entry: bytes


@dataclasses.dataclass(frozen=True)
class Run:
    """What a comparison is called, and where it goes."""

    task_id: str
    fence: int
    version: int
    contract: str
    folder: str


class Rows:
    """The usable rows of a file, on disk.

    Args:
        folder: For temporary files: about 80 bytes a row, and its id. The caller removes it.
        rows_total: Of the source.
        chunks_total: Of the task.
    """

    def __init__(self, folder: pathlib.Path, rows_total: int, chunks_total: int) -> None:
        self._folder = folder
        self.chunks = np.zeros(chunks_total, dtype=comparison.CHUNK)
        self.flags = np.zeros((rows_total + 3) // 4, dtype=np.uint8)
        self._sorter = sorting.Sorter(folder, "rows", _ROW)
        self._ids = (folder / "ids").open("wb")
        self._at = 0
        self.rows_total = rows_total
        self.held = standing.Held(folder)
        self.unreadable_rows = 0

    def add(self, found: Surveyed) -> None:
        """Take the next chunk."""
        chunk = self.chunks[found.number]
        chunk["rows"], chunk["skipped"], chunk["rejected"] = found.rows, found.skipped, found.rejected
        self.held.add(found.held)
        self.unreadable_rows += found.unreadable
        if not found.entries:
            return
        rows = records.copied(np.frombuffer(found.entries, dtype=records.ENTRY), _ROW)
        sizes = np.asarray(found.sizes, dtype=np.uint16)
        rows["row"], rows["chunk"], rows["size"] = found.row_numbers, found.number, sizes
        rows["at"] = self._at + np.cumsum(sizes, dtype=np.uint64) - sizes
        self._ids.write(found.ids)
        self._at += len(found.ids)
        self._sorter.add(rows)

    def sorted(self) -> Iterator[runs.Block]:
        """All rows by their ids' hashes."""
        self._ids.close()
        for found in self._sorter.sorted():
            yield from standing.blocks(found)

    def ids_at(self) -> id_file.Ids:
        """Reads vector ids; once all rows were added."""
        self._ids.close()
        return id_file.Ids(self._folder / "ids")


def nothing_known(run: Run, *, rows_total: int, chunks_total: int) -> comparison.Comparison:
    """What stands for a comparison where nothing is known: all rows travel, and are written down before they do."""
    return comparison.Comparison(
        task_id=run.task_id,
        fence=run.fence,
        version=run.version,
        contract=run.contract,
        folder=run.folder,
        counts=comparison.Counts(),
        flags=np.zeros((rows_total + 3) // 4, dtype=np.uint8),
        chunks=np.zeros(chunks_total, dtype=comparison.CHUNK),
        ahead=True,
    )


def compare(
    rows: Rows,
    manifest: Iterable[runs.Block],
    listed: standing.Listed | None,
    objects: store.Store,
    run: Run,
    *,
    force: bool = False,
    mirror: bool = False,
) -> tuple[comparison.Comparison, list[Sampled]]:
    """Join a file's rows with a manifest, write what the merge needs, and choose the unchanged rows to look at.

    Args:
        rows: Of the file, all added.
        manifest: Its entries; empty for none. Of a mirror with the ids beside.
        listed: What the index lists, if it was asked: what is not there is new. None: it was not asked.
        objects: Where the sent rows go.
        run: Its name.
        force: Every usable row travels.
        mirror: What the file does not hold is gathered, to be deleted.

    Raises:
        store.Broken: The manifest cannot be read.
    """
    joining = _Joining(rows, objects, run, force=force, mirror=mirror)
    known = standing.of(manifest, listed, rows.held if mirror else None, strangers=mirror)
    try:
        for mine, old in runs.side_by_side(rows.sorted(), known):
            joining.take(mine, old)
        return joining.finish(), joining.sample()
    finally:
        joining.close()


class _Joining:
    """Takes rows and entries of the same ranges of ids."""

    def __init__(self, rows: Rows, objects: store.Store, run: Run, *, force: bool, mirror: bool) -> None:
        self._rows = rows
        self._run = run
        self._force = force
        self._ids = rows.ids_at()
        self._sent = parts.Writer(objects, f"{run.folder}sent-")
        self._missing = parts.Writer(objects, f"{run.folder}missing-")
        self._leaving = leaving.Leaving(objects, run.folder) if mirror else None
        self._counts = np.zeros(4, dtype=np.int64)
        self._missing_rows = self._missed_rows = self._unsure_rows = 0
        self._chosen = np.random.default_rng(random.getrandbits(64))
        self._sample: NDArray[np.void] = np.empty(0, dtype=_ROW)
        self._drawn: NDArray[np.float64] = np.empty(0)

    def close(self) -> None:
        """Close the files."""
        self._ids.close()

    def take(self, mine: runs.Block | None, old: runs.Block | None) -> None:
        """Take what lies in one range of ids."""
        rows = mine.entries if mine is not None else np.empty(0, dtype=_ROW)
        entries = old.entries if old is not None else np.empty(0, dtype=standing.OLD)
        rows, twice = _first_of_each(rows)
        prior, kinds = (np.zeros(len(rows), dtype=np.uint8) for _ in range(2))
        there, theirs = records.places(rows, entries)
        found = entries[theirs]
        prior[there] = leaving.prior(found)
        self._unsure_rows += int(np.count_nonzero((prior[there] == records.UNKNOWN) | (found["strange"] == 1)))
        kinds[there] = np.where(prior[there] == records.KNOWN, _kinds(rows[there], found), comparison.NEW)
        if self._force:
            kinds[kinds == comparison.UNCHANGED] = comparison.TEXT_CHANGED
        kinds[twice] = np.minimum(kinds[twice], comparison.TEXT_CHANGED)
        self._note(rows, kinds)
        self._send(rows, prior, kinds != comparison.UNCHANGED, twice)
        absent = np.ones(len(entries), dtype=bool)
        absent[theirs] = False
        missing = absent & (entries["listed"] == 0)
        self._missing_rows += int(np.count_nonzero(missing))
        if self._leaving is None:
            self._miss(entries[missing])
        elif old is not None:
            self._leaving.take(old, absent)
            self._miss(entries[missing & (entries["held"] == 1)])

    def _note(self, rows: NDArray[np.void], kinds: NDArray[np.uint8]) -> None:
        self._counts += np.bincount(kinds, minlength=4)
        at = rows["row"].astype(np.int64) - 1
        np.bitwise_or.at(self._rows.flags, at >> 2, (kinds << ((at & 3) * 2).astype(np.uint8)).astype(np.uint8))
        same = rows[kinds == comparison.UNCHANGED]
        counted = np.bincount(same["chunk"], minlength=len(self._rows.chunks)) if len(same) else 0
        self._rows.chunks["unchanged"] += np.asarray(counted, dtype=np.uint32)
        drawn = np.concatenate((self._drawn, self._chosen.random(len(same))))
        found = np.concatenate((self._sample, same))
        kept = np.argsort(drawn)[:SAMPLE_ROWS]
        self._sample, self._drawn = found[kept], drawn[kept]

    def _send(
        self,
        rows: NDArray[np.void],
        prior: NDArray[np.uint8],
        sent: NDArray[np.bool_],
        twice: NDArray[np.bool_],
    ) -> None:
        chosen = rows[sent]
        if not len(chosen):
            return
        found = records.copied(chosen, records.SENT, "row", "chunk")
        found["prior"] = prior[sent]
        self._missed_rows += int(np.count_nonzero(found["prior"] >= leaving.MISSING))
        records.forget(found, twice[sent])  # two rows of one id: which of them was written last, nobody knows
        self._sent.add(runs.Block(found, self._ids.of(chosen)))

    def _miss(self, entries: NDArray[np.void]) -> None:
        if not len(entries):
            return
        found = records.copied(entries, records.SENT)
        found["prior"] = leaving.prior(entries)
        self._missing.add(runs.Block(found, [b""] * len(found)))

    def finish(self) -> comparison.Comparison:
        """The comparison, once everything was taken."""
        run = self._run
        return comparison.Comparison(
            task_id=run.task_id,
            fence=run.fence,
            version=run.version,
            contract=run.contract,
            folder=run.folder,
            counts=comparison.Counts(*self._counts.tolist()),
            flags=self._rows.flags,
            chunks=self._rows.chunks,
            sent=self._sent.finish(),
            missing=self._missing.finish(),
            missing_rows=self._missing_rows,
            missed_rows=self._missed_rows,
            unsure_rows=self._unsure_rows,
            gone=self._gone(),
        )

    def _gone(self) -> comparison.Gone | None:
        rows = self._rows
        if self._leaving is None:
            return None
        return self._leaving.finish(unreadable_rows=rows.unreadable_rows, file_rows=rows.rows_total)

    def sample(self) -> list[Sampled]:
        """The unchanged rows that are looked at, drawn from all of them alike."""
        chosen, ids = records.copied(self._sample), self._ids.of(self._sample)
        return [Sampled(vector_id.decode(), entry.tobytes()) for vector_id, entry in zip(ids, chosen, strict=True)]


def _first_of_each(rows: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """The rows without those whose id an earlier one has (the contract leaves none), and which of them had such."""
    twice = np.zeros(len(rows), dtype=bool)
    if len(rows) < 2:
        return rows, twice
    high, low = records.halves(rows)
    same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    if not same.any():
        return rows, twice
    first = np.ones(len(rows), dtype=bool)
    first[1:] = ~same
    begun = np.flatnonzero(first)
    twice[begun[np.cumsum(first)[np.flatnonzero(same) + 1] - 1]] = True
    return rows[first], twice[first]


def _kinds(rows: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.uint8]:
    text, metadata = rows["text"] == known["text"], rows["metadata"] == known["metadata"]
    changed = np.where(text, comparison.METADATA_CHANGED, comparison.TEXT_CHANGED)
    return np.where(text & metadata, comparison.UNCHANGED, changed).astype(np.uint8)

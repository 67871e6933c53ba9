"""Rows judged and hashed for a comparison while they are scanned, so that an unchanged file is read once and not twice.

What the scan knows for sure only at its end, it knows of most files early on: the types of columns, the order of dates.
Each chunk notes by what its rows were judged. Where the end says something else, or one of them has an earlier row's
id, it is judged once more: what comes out is what `survey` says of the file.
"""

import dataclasses
import pathlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from services.ingest.contract import columns, context, contract
from services.ingest.manifest import comparing, records
from services.ingest.planning import duplicates, plan
from services.ingest.reading import block as blocks
from services.ingest.request import options
from services.ingest.splitting import hashed, survey

# Rows, skipped, rejected, unreadable; usable rows, bytes of their ids and of those held.
_HEAD: Final = struct.Struct("<7I")
_ROW: Final = np.dtype("<u8")
_SIZE: Final = np.dtype("<u2")
# Given which chunks are wanted, judges those of them.
Again = Callable[[Callable[[int], bool]], Iterator[comparing.Surveyed]]


class Early:
    """A `scan.Witness`.

    Args:
        task: Whose rows they are.
        hashes: Of the manifest that they will be compared with.
        path: A file for what is found: about 60 bytes a row, and its id. The caller removes it.
        held: The ids of rows that are not usable are told, too.
    """

    def __init__(self, task: context.Context, hashes: records.Hashes, path: pathlib.Path, *, held: bool) -> None:
        self.hashes = hashes
        self._task = task
        self._path = path
        self._held = held
        self._file: IO[bytes] | None = None
        self._names: Sequence[str] = ()
        self._chosen = task.options
        self._known: list[columns.SoFar] = []
        self._hashing: hashed.Hashing | None = None
        self._tally: survey.Tally | None = None
        self._chunks: list[_Begun] = []
        self._stale: NDArray[np.bool_] = np.empty(0, dtype=bool)

    def begin(self, names: Sequence[str], chosen: options.Options) -> None:
        """See `scan.Witness`."""
        self.close()
        self._file = self._path.open("wb")
        self._names, self._chosen = names, chosen
        self._known, self._chunks, self._tally = [], [], None

    def see(self, block: blocks.Block, cuts: Sequence[int], known: columns.SoFar) -> None:
        """See `scan.Witness`."""
        if not self._known or known != self._known[-1]:
            self._known.append(known)
            self._judge = contract.Contract(self._names, known.assumed, self._chosen, known.date_orders)
        tally = self._tally or self._next(block.first_row)
        start = 0
        for end in (*cuts, len(block.rows)):
            tally.judge, self._chunks[-1].last_known = self._judge, len(self._known) - 1
            tally.add(block, start, end)
            start = end
            if end < len(block.rows):
                tally = self._next(block.first_row + end)

    def end(self, made: plan.Plan, sidecar: pathlib.Path) -> None:
        """See `scan.Witness`."""
        self._write()
        holds = [known.holds(made.types, made.date_orders) for known in self._known]
        self._stale = np.array([not all(holds[each.first_known : each.last_known + 1]) for each in self._chunks], bool)
        if made.duplicates_total:
            rows = np.memmap(sidecar, dtype=duplicates.PAIR, mode="r")["row"]
            firsts = np.array([each.first_row for each in self._chunks], dtype=np.uint64)
            self._stale[np.searchsorted(firsts, rows, side="right") - 1] = True

    def close(self) -> None:
        """See `scan.Witness`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def chunks(self, again: Again) -> Iterator[comparing.Surveyed]:
        """Yield all chunks in order, as `survey.survey` does; those that were judged by what does not hold, `again`."""
        stale = self._stale
        if not len(stale):
            return
        others = again(lambda number: bool(stale[number])) if stale.any() else iter(())
        with self._path.open("rb") as file:
            for number, anew in enumerate(stale.tolist()):
                found = _read(file, number)
                yield next(others) if anew else found

    def _next(self, first_row: int) -> survey.Tally:
        self._write()
        number, known = len(self._chunks), len(self._known) - 1
        self._chunks.append(_Begun(first_row, known, known))
        if self._hashing is None:
            self._hashing = hashed.Hashing(self.hashes, self._judge, self._task)
        nobody = duplicates.Firsts(lambda _start, _count: b"")
        self._tally = survey.Tally(number, self._judge, self._task, nobody, self._hashing, held=self._held)
        return self._tally

    def _write(self) -> None:
        if self._tally is None or self._file is None:
            return
        found = self._tally.chunk()
        counts = found.rows, found.skipped, found.rejected, found.unreadable
        self._file.write(_HEAD.pack(*counts, len(found.sizes), len(found.ids), len(found.held)))
        for numbers, dtype in ((found.row_numbers, _ROW), (found.sizes, _SIZE)):
            self._file.write(np.asarray(numbers, dtype=dtype).tobytes())
        for data in (found.entries, found.ids, found.held):
            self._file.write(data)


@dataclasses.dataclass(slots=True)
class _Begun:
    """A chunk: its first row, and the first and the last of what was known when its rows were judged."""

    first_row: int
    first_known: int
    last_known: int


def _read(file: IO[bytes], number: int) -> comparing.Surveyed:
    rows, skipped, rejected, unreadable, usable, ids_bytes, held_bytes = _HEAD.unpack(file.read(_HEAD.size))
    return comparing.Surveyed(
        number,
        rows,
        skipped,
        rejected,
        np.frombuffer(file.read(usable * _ROW.itemsize), dtype=_ROW),
        np.frombuffer(file.read(usable * _SIZE.itemsize), dtype=_SIZE),
        file.read(usable * records.ENTRY.itemsize),
        file.read(ids_bytes),
        file.read(held_bytes),
        unreadable,
    )

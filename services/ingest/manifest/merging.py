"""A manifest, changed by what one run is known to have written. It needs neither the source nor the row contract."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.ingest.manifest import comparison, header, leaving, parts, records, runs, store, write_ahead

# What a run did with a chunk.
LEFT: Final = 0  # its shard was not opened in this run: nothing of it was written
SETTLED: Final = 1  # under a fence of this run: its rows are in the index, but the rejected ones
UNSURE: Final = 2  # some of its rows may have been written


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the ledger says of a run that is over; any moment after that will do.

    Args:
        chunks: LEFT, SETTLED or UNSURE, of each chunk of the task.
        rejected: Rows of settled chunks that were rejected, ascending.
        deletes: LEFT, SETTLED or UNSURE, of each chunk that deletes; empty: none has begun.
    """

    chunks: NDArray[np.uint8]
    rejected: NDArray[np.uint64]
    deletes: NDArray[np.uint8] = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.uint8))


@dataclasses.dataclass(frozen=True)
class Named:
    """What the next version is called, and for what it holds."""

    version: int
    folder: str
    model: str
    dimension: int
    host: str


def merge(
    objects: store.Store,
    old: header.Header | None,
    made: comparison.Comparison,
    outcome: Outcome,
    named: Named,
    *,
    written: write_ahead.Written | None = None,
) -> header.Header:
    """Write the segments of the next version; the ledger decides whether it becomes one.

    Args:
        objects: Where they lie.
        old: The manifest that the run was compared with; None: none.
        made: The run's comparison.
        outcome: What became of the run.
        named: What the version is called.
        written: What the run's drivers wrote down, where the comparison judged no row.

    Raises:
        store.Broken: Something cannot be read any more.
        errors.Unavailable: S3 does not answer.
    """
    if written is not None:
        _check_written(old, outcome, written)
    delta = _Delta(objects, made, outcome, written)
    layers = old.layers if old is not None else ()
    tasks = old.tasks if old is not None else ()
    writer = parts.Writer(objects, f"{named.folder}segment-")
    gone = made.gone.rows if made.gone is not None else 0
    youngest = parts.Part(made.counts.sent + made.missing_rows + made.told_rows + gone, "", "", "", 0, "")
    if not layers or header.crowded((*layers, (youngest,))):
        older = [parts.read(objects, layer, ids=True) for layer in layers]
        counts = _Counts()
        for block in counts.of(runs.present(runs.all_of([*older, delta.run()]))):
            writer.add(block)
        made_layers: tuple[tuple[parts.Part, ...], ...] = (writer.finish(),)
        known, unknown = counts.known, counts.unknown
    else:
        assert old is not None
        for block in delta.run():
            writer.add(block)
        made_layers = (*layers, writer.finish())
        known, unknown = old.known + delta.known, old.unknown + delta.unknown
    return header.Header(
        version=named.version,
        contract=made.contract,
        model=named.model,
        dimension=named.dimension,
        host=named.host,
        known=known,
        unknown=unknown,
        layers=tuple(layer for layer in made_layers if layer),
        tasks=(*tasks, made.task_id)[-header.MOST_TASKS :],
    )


def _check_written(old: header.Header | None, outcome: Outcome, written: write_ahead.Written) -> None:
    """Whoever judged no row knew nothing, and no chunk is settled whose rows were not written down before."""
    if old is not None:
        raise store.Broken("a run that was compared with nothing is to be merged into something")
    missing = (outcome.chunks == SETTLED) & ~written.chunks
    if missing.any():
        raise store.Broken(f"chunk {int(np.argmax(missing))} is settled, and its rows are written down nowhere")


class _Counts:
    """Counts the entries that pass."""

    def __init__(self) -> None:
        self.known = 0
        self.unknown = 0

    def of(self, run: Iterable[runs.Block]) -> Iterator[runs.Block]:
        for block in run:
            standing = records.standing(block.entries)
            self.known += int(np.count_nonzero(standing == records.KNOWN))
            self.unknown += int(np.count_nonzero(standing == records.UNKNOWN))
            yield block


class _Delta:
    """What the run changes, as a run of entries; `known` and `unknown` are by how much, once it was read."""

    def __init__(
        self,
        objects: store.Store,
        made: comparison.Comparison,
        outcome: Outcome,
        written: write_ahead.Written | None,
    ) -> None:
        self._objects = objects
        self._made = made
        self._outcome = outcome
        self._written = written
        self.known = 0
        self.unknown = 0

    def run(self) -> runs.Run:
        if self._written is not None:
            return map(self._sent, self._written.run())
        sent = parts.read(self._objects, self._made.sent, records.SENT, ids=True)
        missing = parts.read(self._objects, self._made.missing, records.SENT, ids=True)
        told = parts.read(self._objects, self._made.told, records.SENT, ids=True)
        # No id is in two of them: what is gone is neither sent, nor kept for a row that is not loaded, and who tells
        # sends nothing.
        found = runs.newest(runs.newest(map(self._missing, missing), map(self._sent, sent)), map(self._told, told))
        if self._made.gone is None:
            return found
        gone = parts.read(self._objects, self._made.gone.parts, records.SENT, ids=True)
        return runs.newest(found, map(self._gone, gone))

    def _sent(self, block: runs.Block) -> runs.Block:
        rows = block.entries
        state = self._outcome.chunks[rows["chunk"]]
        rejected = np.isin(rows["row"], self._outcome.rejected)
        entries = records.copied(rows)
        records.forget(entries, (state == UNSURE) | rejected)
        left = state == LEFT
        lost = left & (rows["prior"] >= leaving.MISSING)
        records.take_away(entries, lost)
        return self._counted(block, entries, ~left | lost)

    def _gone(self, block: runs.Block) -> runs.Block:
        """What was to be deleted: gone, or there with whatever content; as it was, where no delete has begun."""
        rows = block.entries
        states = self._outcome.deletes
        state = states[rows["chunk"]] if len(states) else np.full(len(rows), LEFT, dtype=np.uint8)
        missing, strange = rows["prior"] >= leaving.MISSING, rows["prior"] == records.ABSENT
        entries = records.copied(rows)
        records.take_away(entries, (state == SETTLED) | ((state == LEFT) & missing))
        records.forget(entries, (state == UNSURE) | ((state == LEFT) & strange))
        return self._counted(block, entries, (state != LEFT) | missing | strange)

    def _missing(self, block: runs.Block) -> runs.Block:
        entries = records.copied(block.entries)
        every = np.ones(len(entries), dtype=bool)
        records.take_away(entries, every)
        return self._counted(block, entries, every)

    def _told(self, block: runs.Block) -> runs.Block:
        return self._counted(block, records.copied(block.entries), np.ones(len(block), dtype=bool))

    def _counted(self, block: runs.Block, entries: records.Entries, changed: NDArray[np.bool_]) -> runs.Block:
        before = block.entries["prior"][changed] % leaving.MISSING
        after = records.standing(entries[changed])
        self.known += int(np.sum(after == records.KNOWN)) - int(np.sum(before == records.KNOWN))
        self.unknown += int(np.sum(after == records.UNKNOWN)) - int(np.sum(before == records.UNKNOWN))
        return runs.Block(entries, block.ids).only(np.flatnonzero(changed))

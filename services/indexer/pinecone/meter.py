"""What upserts cost, as far as their answers tell: Pinecone's does not name its units.

An upsert that was confirmed is billed. One that was refused, or told to come later, is not. Of one whose answer never
came nobody knows: it may be billed, and what it wrote be replaced, at a price, by the next try. One that held records
of several chunks is paid by each of them for its bytes, to the last unit.
"""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from services.billing import spend, units
from services.indexer.pinecone.batch import Batch, Written


class Bill(Protocol):
    """Who pays for upserts: one chunk's `Meter`, or the `Meters` of several."""

    def upsert(self, batch: Batch) -> "Upsert":
        """The tries of one upsert."""


class Meter:
    """Adds up the write units of one chunk, but for what its records replace that were there before it."""

    def __init__(self) -> None:
        self.spent = spend.NOTHING
        # The highest place in the namespace's log of what was confirmed; 0: none was told.
        self.lsn = 0
        # Of the records that are known to be written.
        self.records = 0
        self.record_bytes = 0
        # What they cost once more if all of them replaced their like: each request is rounded up for itself.
        self.replacing = 0
        # Records of other chunks were in a request with its own.
        self.shared = False

    def read(self, spent: spend.Spend) -> None:
        """What was asked of the index, and answered."""
        self.spent += spent

    def upsert(self, batch: Batch) -> "Upsert":
        """The tries of one upsert."""
        return Upsert([_Share(self, len(batch), batch.record_bytes)])

    def replaced(self, least: int, most: int) -> spend.Spend:
        """What the records cost that were replaced: so many at least and at most, each as large as the new ones."""
        records = max(1, self.records)
        # Together in one request at best, each rounded up at worst. What is rounded up there may be another chunk's.
        size = self.record_bytes * min(least, self.records) // records
        sure = size // units.KB if self.shared else units.of_replaced(size)
        possible = -(-self.replacing * min(most, self.records) // records)
        return spend.Spend(write_units=sure, write_units_doubtful=max(0, possible - sure))

    def rewritten(self) -> spend.Spend:
        """What it costs at most if all that was written had been written once before, by a call that broke."""
        size = self.record_bytes
        return spend.Spend(write_units_doubtful=units.of_upsert(size) + units.of_replaced(size) if size else 0)


class Meters:
    """The meters of several chunks whose records go into the index together; `Batch.owners` says whose each is."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters

    def upsert(self, batch: Batch) -> "Upsert":
        """The tries of one upsert."""
        counts = collections.Counter(batch.owners)
        sizes: Mapping[int, int] = _bytes_by_owner(batch)
        for owner in counts:
            self._meters[owner].shared |= len(counts) > 1
        return Upsert([_Share(self._meters[owner], records, sizes[owner]) for owner, records in counts.items()])


class _Share(NamedTuple):
    """What of an upsert is one chunk's."""

    meter: Meter
    records: int
    record_bytes: int


class Upsert:
    """One upsert, however often it is tried."""

    def __init__(self, shares: Sequence[_Share]) -> None:
        self._shares = shares
        self._records = sum(share.records for share in shares)
        self._bytes = sum(share.record_bytes for share in shares)
        self._doubted = False

    def wrote(self, written: Written) -> None:
        """Pinecone says that it wrote so many records. Of fewer than all nobody knows which, and all are sent again."""
        records = written.count
        for share in self._shares:
            share.meter.lsn = max(share.meter.lsn, written.lsn)
        if not records:
            return
        whole = records == self._records
        size = self._bytes if whole else self._bytes * records // self._records
        replacing = self._divided(units.of_replaced(size))
        for share, paid, again in zip(self._shares, self._divided(units.of_upsert(size)), replacing, strict=True):
            share.meter.spent += spend.Spend(write_units=paid, write_units_doubtful=0 if whole else again)
            if whole:
                share.meter.records += share.records
                share.meter.record_bytes += share.record_bytes
                share.meter.replacing += again

    def lost(self) -> None:
        """A try had no answer. However many have none, one is doubted."""
        if not self._doubted:
            self._doubted = True
            size = self._bytes
            doubted = self._divided(units.of_upsert(size) + units.of_replaced(size))
            for share, each in zip(self._shares, doubted, strict=True):
                share.meter.spent += spend.Spend(write_units_doubtful=each)

    def _divided(self, whole: int) -> list[int]:
        """Units of the whole upsert by the bytes of its shares; they add up to it."""
        ends = itertools.accumulate(share.record_bytes for share in self._shares)
        bounds = [0, *(whole * end // max(1, self._bytes) for end in ends)]
        return [end - start for start, end in itertools.pairwise(bounds)]


def _bytes_by_owner(batch: Batch) -> Mapping[int, int]:
    sizes: collections.Counter[int] = collections.Counter()
    for owner, vector in zip(batch.owners, batch.vectors, strict=True):
        sizes[owner] += len(vector.id.encode()) + len(vector.values) + len(vector.metadata)
    return sizes

"""What upserts cost, as far as their answers tell: Pinecone's does not name its units.

An upsert that was confirmed is billed. One that was refused, or told to come later, is not. Of one whose answer never
came nobody knows: it may be billed, and what it wrote be replaced, at a price, by the next try.
"""

from services.billing import spend, units
from services.indexer.pinecone.batch import Batch, Written


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

    def read(self, spent: spend.Spend) -> None:
        """What was asked of the index, and answered."""
        self.spent += spent

    def upsert(self, batch: Batch) -> "Upsert":
        """The tries of one upsert."""
        return Upsert(self, batch)

    def replaced(self, least: int, most: int) -> spend.Spend:
        """What the records cost that were replaced: so many at least and at most, each as large as the new ones."""
        records = max(1, self.records)
        # Together in one request at best, each rounded up at worst.
        sure = units.of_replaced(self.record_bytes * min(least, self.records) // records)
        possible = -(-self.replacing * min(most, self.records) // records)
        return spend.Spend(write_units=sure, write_units_doubtful=max(0, possible - sure))

    def rewritten(self) -> spend.Spend:
        """What it costs at most if all that was written had been written once before, by a call that broke."""
        size = self.record_bytes
        return spend.Spend(write_units_doubtful=units.of_upsert(size) + units.of_replaced(size) if size else 0)


class Upsert:
    """One upsert, however often it is tried."""

    def __init__(self, meter: Meter, batch: Batch) -> None:
        self._meter = meter
        self._batch = batch
        self._doubted = False

    def wrote(self, written: Written) -> None:
        """Pinecone says that it wrote so many records. Of fewer than all nobody knows which, and all are sent again."""
        records = written.count
        self._meter.lsn = max(self._meter.lsn, written.lsn)
        if not records:
            return
        whole = records == len(self._batch)
        size = self._batch.record_bytes if whole else self._batch.record_bytes * records // len(self._batch)
        self._meter.spent += spend.Spend(
            write_units=units.of_upsert(size), write_units_doubtful=0 if whole else units.of_replaced(size)
        )
        if whole:
            self._meter.records += records
            self._meter.record_bytes += size
            self._meter.replacing += units.of_replaced(size)

    def lost(self) -> None:
        """A try had no answer. However many have none, one is doubted."""
        if not self._doubted:
            self._doubted = True
            size = self._batch.record_bytes
            self._meter.spent += spend.Spend(write_units_doubtful=units.of_upsert(size) + units.of_replaced(size))

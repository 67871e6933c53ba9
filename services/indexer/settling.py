"""One chunk's book while its rows go into the index: what became of them and what it cost; settled once, exactly.

Indexed rows are those that Pinecone confirmed, and indexed + skipped + failed must be the chunk's rows, or the chunk
stays unsettled and is sent again.
"""

import collections
from collections.abc import Sequence

from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend, units
from services.indexer import ledger
from services.indexer.ledger import items, shards
from services.indexer.pinecone import meter
from services.indexer.storage import rejects
from services.runtime import errors, failpoints, stages

SETTLE = stages.Stage("settle")

REFUSED = "index_refused"
# Reasons of rows that were usable when their chunk was made.
LATE = frozenset({REFUSED, "embedding_refused", "embedding_unusable"})


class Book:
    """Of one delivery of one chunk. Closed by `settle`, or by `abandon`."""

    def __init__(self, header: indexer_pb2.IndexChunkHeader, book: ledger.Ledger, store: rejects.RejectStore) -> None:
        self.header = header
        self.meter = meter.Meter()
        # What the embedder paid; it tells at the end.
        self.spent = spend.NOTHING
        self._ledger = book
        self._store = store
        self._indexed = 0
        self._rejects: list[chunk_pb2.Reject] = []
        self._settled = self._settling = False

    def indexed(self, rows: int) -> None:
        """So many rows more are in the index."""
        self._indexed += rows

    def reject(self, found: Sequence[chunk_pb2.Reject]) -> None:
        """Rows that failed before the index, or there."""
        self._rejects += found

    def refuse(self, row_number: int, words: str) -> None:
        """The index refuses a row, in these words."""
        message = f"The index refuses this row: {words}"
        self.reject([chunk_pb2.Reject(row_number=row_number, reason=REFUSED, message=message)])

    async def settle(self) -> indexer_pb2.ChunkSettled:
        """All of its rows have gone their way: store the rejects, settle.

        Raises:
            errors.InvalidArgument: The rows do not add up to the header's.
            errors.Unavailable: S3 or the ledger does not answer; where it is the ledger it may be settled all the same.
        """
        return await SETTLE.during(self._settle())

    async def _settle(self) -> indexer_pb2.ChunkSettled:
        found = sorted(self._rejects, key=lambda reject: reject.row_number)
        self._check_sum(len(found))
        key = await self._store.write(items.task_key(self.header.task_id), self.header.chunk, found)
        outcome = shards.Outcome(
            indexed=self._indexed,
            skipped=self.header.skipped,
            failed=len(found),
            reasons=collections.Counter(reject.reason for reject in found),
            rejects_key=key,
            spent=self._bill(sum(reject.reason in LATE for reject in found)),
            unchanged=self.header.unchanged,
            fence=self.header.fence,
            lsn=self.meter.lsn,
        )
        failpoints.hit("indexer.before_settle")
        self._settling = True
        settled = await self._ledger.closing.settle(self.header.task_id, self.header.chunk, outcome)
        self._settled = True
        if settled.already:  # by another delivery, or by this one, whose answer was lost
            self._ledger.spending.add(self.header.task_id, outcome.spent.doubtful())
        else:
            self._ledger.spending.settled(self.header.task_id, outcome.spent)
        return indexer_pb2.ChunkSettled(
            indexed=settled.indexed,
            skipped=settled.skipped,
            failed=settled.failed,
            already_settled=settled.already,
        )

    def _bill(self, late: int) -> spend.Spend:
        """What the chunk cost, with what its records replaced: as far as the header knows, else a range.

        Of `late` rows, which were rejected since the header was written, nobody knows whether they are among those.
        """
        replaced, records = self.header.replaced, self.meter.records
        least, most = (replaced.least, replaced.most) if self.header.HasField("replaced") else (0, records)
        spent = self.spent + self.meter.spent + self.meter.replaced(max(0, least - late), most)
        return spent + self.meter.rewritten() if self.header.again else spent

    def abandon(self) -> None:
        """Nothing more is written for it. What was is billed, and once more when it is replaced."""
        if not self._settled and self.meter.spent:
            spent = self.meter.spent.doubtful() if self._settling else self.meter.spent  # it may be settled after all
            again = spend.Spend(write_units_doubtful=units.of_replaced(self.meter.record_bytes))
            self._ledger.spending.add(self.header.task_id, spent + again)

    def _check_sum(self, failed: int) -> None:
        rows = self._indexed + self.header.skipped + failed
        if rows != self.header.rows:
            raise errors.InvalidArgument(
                f"The chunk has {self.header.rows} rows, but {rows} were accounted for; nothing is settled.",
                reason="ROWS_UNACCOUNTED",
            )

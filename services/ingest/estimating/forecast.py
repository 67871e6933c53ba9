"""The bill of a task that was not submitted: what its rows cost to buy and to write."""

import datetime

from services.billing import spend, units
from services.ingest.estimating import estimate

# An upsert holds at most so many bytes; on average its last KB is half full.
UPSERT_BYTES = 1_900_000
HALF_KB = units.KB // 2
# Records that a comparison looks at, and how many at once.
SAMPLE_ROWS, FETCHED = 1_000, 100


def today() -> datetime.date:
    """The day (UTC) whose prices hold for a forecast."""
    return datetime.datetime.now(datetime.UTC).date()


def spend_of(found: estimate.Estimate, *, dimension: int, vectors: int | None) -> spend.Spend:
    """What a task would spend.

    Args:
        found: The estimate.
        dimension: Values a vector; 0: not known, and their bytes are left out.
        vectors: In the namespace now: so many may be replaced, each as large as the new ones; None: not known.
    """
    size = found.record_bytes + found.usable * dimension * units.BYTES_A_FLOAT
    upserts = max(found.written_chunks, -(-size // UPSERT_BYTES))
    perhaps = found.usable if vectors is None else min(found.usable, vectors)
    replaced = perhaps if found.replacing is None else found.replacing
    replacing = units.of_replaced(size * replaced // max(1, found.usable))
    surely = 0 if found.replacing is None else replacing
    return spend.Spend(
        tokens=found.billed_tokens,
        tokens_doubtful=found.most_tokens - found.billed_tokens,
        texts_bought=found.texts,
        texts_reused=found.usable - found.texts,
        write_units=max(units.LEAST_WRITE_UNITS * upserts, units.of_replaced(size + upserts * HALF_KB)) + surely,
        write_units_doubtful=replacing - surely,
        # A question, and what a comparison asks for that skips something.
        read_thousandths=(0 if vectors == 0 else units.WHOLE)
        + (_looks(found.unchanged, (vectors or 0) * dimension * units.BYTES_A_FLOAT) if found.unchanged else 0),
    )


def _looks(unchanged: int, size: int) -> int:
    """Read units of a query for the position of the log of a namespace of so many bytes, and of the sample."""
    return units.of_query(0, size) + _sampled(min(unchanged, SAMPLE_ROWS))


def _sampled(rows: int) -> int:
    whole, rest = divmod(rows, FETCHED)
    return whole * units.of_fetch(FETCHED) + (units.of_fetch(rest) if rest else 0)

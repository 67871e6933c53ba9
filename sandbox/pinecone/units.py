"""Read and write units, as Pinecone counts them for its bill.

https://docs.pinecone.io/guides/manage-cost/understanding-cost: a write unit is 1 KB of what is written, changed or
deleted, 5 at least a request, and what is replaced counts again; a read unit is 10 records fetched, 100 ids listed, or
1 GB of the namespace that a query searches, a quarter at least.
"""

import math
import time
from collections.abc import Iterable

from sandbox.pinecone import errors, store, wire

KB, GB = 1_000, 1_000_000_000
LEAST_WRITE_UNITS = 5
LEAST_QUERY_UNITS = 0.25
FETCHED_A_UNIT, LISTED_A_UNIT = 10, 100


class Month:
    """The write units of a month that a plan has; 0: as many as one likes. Starter has 2,000,000."""

    def __init__(self, write_units: float = 0) -> None:
        """Begin with none used."""
        self._limit = write_units
        self._used = 0.0
        self._month = time.gmtime()[:2]

    def check(self) -> None:
        """Refuse a write when all are used.

        Raises:
            ApiError: RESOURCE_EXHAUSTED, without a retry-after: waiting does not help.

        """
        if self._month != time.gmtime()[:2]:
            self._month, self._used = time.gmtime()[:2], 0.0
        if self._limit and self._used >= self._limit:
            raise errors.month_used()

    def add(self, write_units: float) -> None:
        """Count what was written."""
        self._used += write_units


def of_upsert(batch: wire.Upsert, count: int, namespace: store.Namespace | None) -> int:
    """Write units of the first `count` records of an upsert; to be asked before it is done: what it replaces counts."""
    if not count:
        return 0
    size = sum(sum(map(len, column[:count])) for column in (batch.ids, batch.values, batch.metadata))
    replaced = sum(map(namespace.size_of, set(batch.ids[:count]))) if namespace else 0
    return max(LEAST_WRITE_UNITS, math.ceil(size / KB)) + math.ceil(replaced / KB)


def of_change(sizes: Iterable[int]) -> int:
    """Write units of deleting records of these sizes, in bytes; of changing them they count before and after."""
    return max(LEAST_WRITE_UNITS, math.ceil(sum(sizes) / KB))


def of_query(namespace: store.Namespace | None) -> float:
    """Read units of a query."""
    return max(LEAST_QUERY_UNITS, (namespace.size_bytes if namespace else 0) / GB)


def of_fetch(records: int) -> int:
    """Read units of a fetch."""
    return max(1, math.ceil(records / FETCHED_A_UNIT))


def of_list(ids: int) -> int:
    """Read units of a list."""
    return max(1, math.ceil(ids / LISTED_A_UNIT))

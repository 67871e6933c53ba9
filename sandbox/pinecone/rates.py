"""Pinecone's limits by the second, as its limits page states them: token buckets by namespace and by index.

https://docs.pinecone.io/reference/api/database-limits
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.pinecone import errors

_RETRY_AFTER_SECONDS = 1.0
_SUPPORT = "contact Pinecone Support (https://app.pinecone.io/organizations/-/settings/support/ticket) to request a"

UPSERTS, UPSERT_BYTES, QUERIES = 100.0, 50_000_000.0, 100.0
_UPDATES, _UPDATED_RECORDS, _FETCHES, _LISTS, _STATS = 100.0, 100.0, 100.0, 200.0, 100.0
_DELETES, _DELETED_RECORDS = 100.0, 5_000.0
_BY_FILTER, _BY_FILTER_OF_INDEX = 5.0, 500.0
# In place of a namespace; none has this name.
_WHOLE_INDEX = "\0"


class Bucket:
    """At most `per_second` tokens a second, with a burst of one second's worth."""

    def __init__(self, per_second: float) -> None:
        """Start full."""
        self._per_second = per_second
        self._tokens = per_second
        self._at = time.monotonic()

    def take(self, amount: float) -> bool:
        """Take tokens if they are there; a request of over a second's worth needs a full bucket and overdraws it."""
        now = time.monotonic()
        self._tokens = min(self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < min(amount, self._per_second):
            return False
        self._tokens -= amount
        return True


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call counts for."""

    op: str
    index: str
    namespace: str
    # Of an upsert.
    size_bytes: int = 0
    # Of a delete or an update.
    records: int = 0
    by_filter: bool = False


class Rates:
    """The limits of every namespace and index. Those that can be given are 0 for none."""

    def __init__(
        self, upserts_per_second: float = UPSERTS, bytes_per_second: float = UPSERT_BYTES, queries: float = QUERIES
    ) -> None:
        """Remember the limits."""
        self._upserts, self._bytes, self._queries = upserts_per_second, bytes_per_second, queries
        self._buckets: dict[tuple[str, ...], Bucket] = {}

    def check(self, asked: Asked) -> None:
        """Count one call.

        Raises:
            ApiError: RESOURCE_EXHAUSTED with a retry-after.

        """
        for what, scope, limit, amount, words in self._limits(asked):
            if not limit:
                continue
            bucket = self._buckets.setdefault((what, asked.index, scope), Bucket(limit))
            if not bucket.take(amount):
                message = f"Request failed. You've reached {words}. Pace your {asked.op} requests or {_SUPPORT} higher "
                raise errors.ApiError(errors.Code.RESOURCE_EXHAUSTED, f"{message}limit.", _RETRY_AFTER_SECONDS)

    def _limits(self, asked: Asked) -> Iterator[tuple[str, str, float, float, str]]:
        """Name, namespace (or _WHOLE_INDEX), limit, amount and words of each limit that a call counts in."""
        where, whole = f"namespace {asked.namespace or '__default__'}", f"index {asked.index}"
        name = asked.namespace

        def qps(limit: float) -> tuple[str, str, float, float, str]:
            return asked.op, name, limit, 1, f"the {asked.op} QPS limit for {where} ({limit:g} QPS)"

        def most(what: str, scope: str, limit: float, amount: float) -> tuple[str, str, float, float, str]:
            return what, scope, limit, amount, f"the max {what} per second for {where if scope == name else whole}"

        match asked.op:
            case "upsert":
                yield qps(self._upserts)
                words = f"the max upsert size limit per second for {whole}"
                yield "upsert size", name, self._bytes, asked.size_bytes, words
            case "query":
                yield qps(self._queries)
            case "update" | "delete":
                update = asked.op == "update"
                if asked.by_filter:
                    what = f"{asked.op} by metadata requests"
                    yield most(what, name, _BY_FILTER, 1)
                    yield most(what, _WHOLE_INDEX, _BY_FILTER_OF_INDEX, 1)
                    return
                yield qps(_UPDATES if update else _DELETES)
                records = f"{asked.op} records"
                yield most(records, name, _UPDATED_RECORDS if update else _DELETED_RECORDS, asked.records)
                if not update:
                    yield most(records, _WHOLE_INDEX, _DELETED_RECORDS, asked.records)
            case "fetch" | "fetch_by_metadata":
                yield most("fetch requests", _WHOLE_INDEX, _FETCHES, 1)
            case "list":
                yield most("list requests", _WHOLE_INDEX, _LISTS, 1)
            case "describe_index_stats":
                yield most("describe_index_stats requests", _WHOLE_INDEX, _STATS, 1)

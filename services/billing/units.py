"""Pinecone's units, as it counts them for its bill.

https://docs.pinecone.io/guides/manage-cost/understanding-cost: an upsert is 1 write unit for each KB of the request,
5 at least, and 1 for each KB of the records that it replaces. A record is its id, its values (4 bytes each) and its
metadata. A query is 1 read unit for each GB of the namespace, a quarter at least; a fetch is 1 for each 10 records, a
list 1 for each 100 ids.
"""

KB, GB = 1_000, 1_000_000_000
LEAST_WRITE_UNITS = 5
# A query's least, and a whole read unit, in thousandths of one.
LEAST_QUERY, WHOLE = 250, 1_000
BYTES_A_FLOAT = 4
FETCHED_A_UNIT, LISTED_A_UNIT = 10, 100


def of_upsert(size: int) -> int:
    """Write units of one upsert of so many bytes, without what it replaces."""
    return max(LEAST_WRITE_UNITS, of_replaced(size))


def of_replaced(size: int) -> int:
    """Write units of records of so many bytes that a request replaces."""
    return -(-size // KB)


def of_fetch(records: int) -> int:
    """Thousandths of a read unit of one fetch that brought so many records."""
    return max(1, -(-records // FETCHED_A_UNIT)) * WHOLE


def of_list(ids: int) -> int:
    """Thousandths of a read unit of one page of so many ids."""
    return max(1, -(-ids // LISTED_A_UNIT)) * WHOLE


def of_query(told: int, size: int) -> int:
    """Thousandths of a read unit that a query cost.

    Args:
        told: What its answer says, in whole units: of a small namespace 1, which may be a quarter; 0: nothing.
        size: Bytes of the namespace, as far as is known.
    """
    if told > 1:
        return told * WHOLE
    by_size = max(LEAST_QUERY, size * WHOLE // GB)
    return min(by_size, WHOLE) if told else by_size

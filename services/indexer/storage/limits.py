"""What DynamoDB takes, so that the table in memory takes no more (its page "Quotas", and "DynamoDB item sizes").

Numbers and their names are DynamoDB's. Sizes of items are its own rules, which bill and limit by the same bytes.
"""

from collections.abc import Sequence
from typing import Final

from services.indexer.storage import table

ITEM_BYTES: Final = 400 * 1024
# A query's or scan's page ends after so many bytes of items as they lie in the index, before the filter.
PAGE_BYTES: Final = 1024 * 1024
BATCH_KEYS: Final = 100
TRANSACT_ITEMS: Final = 100
TRANSACT_BYTES: Final = 4 * 1024 * 1024
PARTITION_KEY_BYTES: Final = 2048
SORT_KEY_BYTES: Final = 1024
DIGITS: Final = 38


def size(item: table.Item) -> int:
    """Bytes of an item: its names and its values."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: table.Value) -> int:
    match value:
        case None | bool():
            return 1
        case int():
            return 1 + (value < 0) + (len(str(abs(value)).rstrip("0")) + 1) // 2
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case list() | tuple():
            return 3 + sum(1 + _size(one) for one in value)
        case dict():
            return 3 + len(value) + size(value)
    raise TypeError(f"The ledger keeps no {type(value).__name__}.")


def check(item: table.Item) -> None:
    """Whether DynamoDB would store this item.

    Raises:
        table.Invalid: It would not.
    """
    _check_key(table.KEY, item[table.KEY], PARTITION_KEY_BYTES)
    for index in table.INDEXES:
        for name, most in ((index.partition, PARTITION_KEY_BYTES), (index.sort, SORT_KEY_BYTES)):
            if name in item:
                _check_key(name, item[name], most)
    _check_numbers(item)
    if size(item) > ITEM_BYTES:
        raise table.Invalid(f"Item {item[table.KEY]!r} has {size(item)} bytes, more than {ITEM_BYTES}.")


def check_transaction(items: Sequence[table.Item]) -> None:
    """Whether these may be written at once.

    Raises:
        table.Invalid: They are too many or too large together, or one of them comes twice.
    """
    keys = {str(item[table.KEY]) for item in items}
    if not 1 <= len(items) <= TRANSACT_ITEMS or len(keys) < len(items):
        raise table.Invalid(f"A transaction has 1 to {TRANSACT_ITEMS} items, each once; not {len(items)}.")
    if sum(map(size, items)) > TRANSACT_BYTES:
        raise table.Invalid(f"A transaction's items have at most {TRANSACT_BYTES} bytes.")


def _check_key(name: str, value: table.Value, most: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= most:
        raise table.Invalid(f"{name} is a text of 1 to {most} bytes.")


def _check_numbers(value: table.Value) -> None:
    match value:
        case bool():
            return
        case int():
            if len(str(abs(value)).rstrip("0")) > DIGITS:
                raise table.Invalid(f"A number has at most {DIGITS} digits.")
        case list() | tuple():
            for one in value:
                _check_numbers(one)
        case dict():
            for one in value.values():
                _check_numbers(one)

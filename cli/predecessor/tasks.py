"""The predecessor's tasks, as they stand in its table. The table is scanned and never written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

# The names that its items gave to the same thing, over its versions.
_CREATED: Final = ("created_at", "createdAt", "timestamp", "started_at")
_DONE: Final = ("processed_records", "processed", "completed_records")
_TOTAL: Final = ("total_records", "total")
OPEN: Final = frozenset({"pending", "queued", "processing", "processing_chunks", "running", "started"})


@dataclasses.dataclass(frozen=True)
class OldTask:
    """One task of the predecessor.

    Attributes:
        task_id: Its id.
        status: In its own words.
        kind: s3_csv, metabase and so on; empty: it does not say.
        created: As it wrote it.
        processed: Rows that it says it processed; None: it does not say.
        total: Rows that it says there were; None: it does not say.
    """

    task_id: str
    status: str
    kind: str
    created: str
    processed: int | None
    total: int | None

    @property
    def open(self) -> bool:
        """Whether it was never finished, by its own account."""
        return self.status.lower() in OPEN


def read(client: Any, table: str) -> Iterator[OldTask]:
    """Every task of the table; items that are none (ours among them) are left out.

    Args:
        client: A boto3 client of DynamoDB.
        table: The table's name.

    Raises:
        botocore's errors: There is no such table, or it may not be read.
    """
    for page in client.get_paginator("scan").paginate(TableName=table):
        for raw in page["Items"]:
            item = {name: _value(value) for name, value in raw.items()}
            if item.get("task_id") and item.get("status") and "kind" not in item:
                yield _task(item)


def _task(item: Mapping[str, Any]) -> OldTask:
    nested = item.get("progress")
    places = [item, nested] if isinstance(nested, dict) else [item]
    return OldTask(
        task_id=str(item["task_id"]),
        status=str(item["status"]),
        kind=str(item.get("task_type") or item.get("data_source") or item.get("type") or ""),
        created=str(next((item[name] for name in _CREATED if item.get(name)), "")),
        processed=_count(places, _DONE),
        total=_count(places, _TOTAL),
    )


def _count(places: list[Any], names: tuple[str, ...]) -> int | None:
    for place in places:
        for name in names:
            try:
                return int(place[name])
            except (KeyError, TypeError, ValueError):
                continue
    return None


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return {name: _value(each) for name, each in content.items()}
    if kind == "L":
        return [_value(each) for each in content]
    return None if kind == "NULL" else content

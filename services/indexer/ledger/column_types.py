"""Which types the columns of a question had when it was last loaded into a namespace.

A column that becomes text from one day to the next makes filters match nothing, and fails no task: so it is said.
"""

import dataclasses
from collections.abc import Mapping

from services.indexer.ledger import items
from services.indexer.storage import table


@dataclasses.dataclass(frozen=True)
class Change:
    """A column whose type is another than when the question was last loaded."""

    column: str
    before: str
    now: str
    # Of that load.
    task_id: str


class ColumnTypes:
    """Remembers types by namespace and question.

    Args:
        storage: The table.
        index: The Pinecone index that namespaces are of.
    """

    def __init__(self, storage: table.Table, *, index: str) -> None:
        self._table = storage
        self._index = index

    async def changes(self, task: table.Item, types: Mapping[str, str]) -> list[Change]:
        """What differs from the last load; columns that one of the two lacks do not.

        Args:
            task: The task that was scanned.
            types: Its types by column.
        """
        held = await self._table.get(self._key(task)) if types else None
        if held is None or held["task"] == task[table.KEY]:
            return []
        before: Mapping[str, str] = held["types"]
        return [
            Change(name, before[name], now, held["task"]) for name, now in types.items() if before.get(name, now) != now
        ]

    async def last(self, namespace: str, question_id: int | None) -> Mapping[str, str]:
        """The types by column of the last load; empty: none is remembered."""
        held = await self._table.get(items.types_key(self._index, namespace, question_id))
        types: Mapping[str, str] = held["types"] if held else {}
        return types

    async def keep(self, task: table.Item, types: Mapping[str, str]) -> None:
        """Remember these as the last."""
        if types:
            await self._table.put(
                table.Put({table.KEY: self._key(task), "kind": "types", "types": dict(types), "task": task[table.KEY]})
            )

    def _key(self, task: table.Item) -> str:
        return items.types_key(self._index, task["namespace"], task.get("question_id"))

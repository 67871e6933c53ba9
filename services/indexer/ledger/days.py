"""What was spent by day, key, namespace and model: the books behind `GET /api/v1/monitoring/bill`.

Each process writes its own sums, whole, into items of its own: no item is written by two, whatever is written may be
written again, and a thousand chunks a second cost one small write a second. What a process that is killed had not
written yet, about a second, is missing here; the tasks' own bills have it.

Items: `spent#<day>` names the processes that spent something, with how many parts their sums have;
`spent#<day>#<process>#<part>` holds them.
"""

import dataclasses
import datetime
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

from services.billing import spend
from services.indexer.ledger import items
from services.indexer.storage import table

# Of one item: a key, a namespace and a model with the longest names take 2 KB, and an item 400.
SUMS_A_PART = 150
PARTS = "parts:"


@dataclasses.dataclass(frozen=True, order=True)
class Account:
    """Whom a spend is for: the key, the namespace, and the embedding model, by which it has its price."""

    client: str
    namespace: str
    model: str

    def __str__(self) -> str:
        return "#".join(urllib.parse.quote(name, safe="") for name in (self.client, self.namespace, self.model))

    @classmethod
    def parse(cls, text: str) -> "Account":
        """Read what `str` wrote."""
        return cls(*(urllib.parse.unquote(name) for name in text.split("#")))


@dataclasses.dataclass(frozen=True)
class Sum:
    """What an account spent on a day (UTC)."""

    day: datetime.date
    account: Account
    spent: spend.Spend


class _Book:
    """The sums of one day, in the order in which their accounts came: a part never loses one to another."""

    def __init__(self) -> None:
        self.sums: dict[Account, spend.Spend] = {}
        self.changed: set[int] = set()
        self.announced = 0
        self._part_of: dict[Account, int] = {}

    def add(self, account: Account, spent: spend.Spend) -> None:
        part = self._part_of.setdefault(account, len(self._part_of) // SUMS_A_PART)
        self.sums[account] = self.sums.get(account, spend.NOTHING) + spent
        self.changed.add(part)

    @property
    def parts(self) -> int:
        return -(-len(self.sums) // SUMS_A_PART)

    def part(self, number: int) -> dict[str, dict[str, int]]:
        return {str(each): self.sums[each].stored() for each, part in self._part_of.items() if part == number}


def _to_nobody(_day: datetime.date, _account: Account, _spent: spend.Spend) -> None:
    """Nobody counts along."""


class Days:
    """Adds up what this process saw spent, and reads what all have written. `told` hears of each as it is added."""

    def __init__(self, storage: table.Table) -> None:
        self._table = storage
        self.told: Callable[[datetime.date, Account, spend.Spend], None] = _to_nobody
        self._process = secrets.token_hex(8)
        self._books: dict[datetime.date, _Book] = {}

    def add(self, day: datetime.date, account: Account, spent: spend.Spend) -> None:
        """Add within a moment; see `flush`."""
        if spent:
            self._books.setdefault(day, _Book()).add(account, spent)
            self.told(day, account, spent)

    async def flush(self) -> None:
        """Write what has changed.

        Raises:
            errors.Unavailable: Not all is written; the next call writes it again.
        """
        for day, book in sorted(self._books.items()):
            if book.announced < book.parts:  # first, or nobody would look for it
                named: dict[table.Path, table.Value] = {f"{PARTS}{self._process}": book.parts, "kind": "spent"}
                await self._table.update(table.Update(items.spent_key(day), set=named, answer=table.Answer.WRITTEN))
                book.announced = book.parts
            for part in sorted(book.changed):
                key = items.spent_key(day, self._process, part)
                book.changed.discard(part)  # what is added from now on changes it again
                try:
                    await self._table.put(table.Put({table.KEY: key, "kind": "spent", "sums": book.part(part)}))
                except BaseException:
                    book.changed.add(part)
                    raise
        newest = max(self._books, default=None)
        self._books = {day: book for day, book in self._books.items() if book.changed or _near(day, newest)}

    async def read(self, days: Sequence[datetime.date]) -> list[Sum]:
        """What was spent on these days, by account: one sum for each day and account, ordered."""
        listed = await self._table.get_many([items.spent_key(day) for day in days])
        keys = {
            items.spent_key(day, process, part): day
            for day in days
            for process, parts in _processes(listed.get(items.spent_key(day), {}))
            for part in range(parts)
        }
        found = await self._table.get_many(list(keys)) if keys else {}
        sums: dict[tuple[datetime.date, Account], spend.Spend] = {}
        for key, item in found.items():
            for name, counts in item["sums"].items():
                at = (keys[key], Account.parse(name))
                sums[at] = sums.get(at, spend.NOTHING) + spend.of_stored(counts)
        return [Sum(day, account, spent) for (day, account), spent in sorted(sums.items(), key=lambda each: each[0])]


def _processes(item: table.Item) -> Iterator[tuple[str, int]]:
    return ((name.removeprefix(PARTS), parts) for name, parts in item.items() if name.startswith(PARTS))


def _near(day: datetime.date, newest: datetime.date | None) -> bool:
    """Whether something may still be added: clocks step back, and a spend waits for its task to be looked up."""
    return newest is not None and (newest - day).days <= 1

"""What the ledger needs of a table: items by key, conditional writes, transactions, two sparse indexes.

Writes are data, not expression strings, so that `dynamodb.DynamoTable` and `memory.MemoryTable` give them one meaning
and reserved words (``status``, ``total``) never matter.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

# None, bool, int, str, bytes, and lists and dicts of them. Times are RFC 3339 texts.
Value = Any
Item = dict[str, Value]
# An attribute, or the way into nested maps.
Path = str | tuple[str, ...]

KEY = "task_id"


@dataclasses.dataclass(frozen=True)
class Index:
    """A sparse index: items without both attributes are not in it."""

    name: str
    partition: str
    sort: str


# Everybody's, and one client's: the attributes say in which partition an item is listed.
ALL = Index("listing", "listing", "created")
OF_CLIENT = Index("client_listing", "client_listing", "created")
INDEXES = (ALL, OF_CLIENT)
# What lists filter by, besides the keys. All that a query of an index may ask for.
PROJECTED = ("kind", "client", "task_type", "status", "error_reason")


class Answer(enum.Enum):
    """What an update tells of the item afterwards."""

    WHOLE = "whole"
    # The paths that it wrote, as they are now. A shard's 256 outcomes are milliseconds to read back.
    WRITTEN = "written"


@dataclasses.dataclass(frozen=True)
class Exists:
    """The attribute is there; of the key: the item is there."""

    path: Path


@dataclasses.dataclass(frozen=True)
class Missing:
    """The attribute is not there; of the key: the item is not there."""

    path: Path


@dataclasses.dataclass(frozen=True)
class Equals:
    """The attribute has this value."""

    path: Path
    value: Value


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The attribute has one of these values."""

    path: Path
    values: Sequence[Value]


@dataclasses.dataclass(frozen=True)
class Below:
    """The number is smaller than this."""

    path: Path
    value: int


@dataclasses.dataclass(frozen=True)
class Lacks:
    """The list does not hold this value."""

    path: Path
    value: Value


@dataclasses.dataclass(frozen=True)
class Same:
    """Both attributes are there and equal."""

    path: Path
    other: Path


Condition = Exists | Missing | Equals | OneOf | Below | Lacks | Same


@dataclasses.dataclass(frozen=True)
class Put:
    """Writes a whole item if all conditions hold on the one that is there."""

    item: Item
    when: Sequence[Condition] = ()

    @property
    def key(self) -> str:
        """The item's key."""
        return str(self.item[KEY])


@dataclasses.dataclass(frozen=True)
class Update:
    """Changes an item if all conditions hold.

    Args:
        key: The item.
        set: Values to write.
        keep: Values to write where there is none yet.
        add: Numbers to add; what is absent counts as 0.
        append: Values to put at the end of lists; an absent list is empty.
        remove: Attributes to take away.
        when: Conditions, all of which must hold.
        answer: What to tell of the item afterwards.
        told: Attributes to write as they are, so that an answer of what was written may tell them. It may also leave
            out what did not change: whoever needs them looks whether they are there.
    """

    key: str
    set: Mapping[Path, Value] = dataclasses.field(default_factory=dict)
    keep: Mapping[Path, Value] = dataclasses.field(default_factory=dict)
    add: Mapping[Path, int] = dataclasses.field(default_factory=dict)
    append: Mapping[Path, Value] = dataclasses.field(default_factory=dict)
    remove: Sequence[Path] = ()
    when: Sequence[Condition] = ()
    answer: Answer = Answer.WHOLE
    told: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Check:
    """Changes nothing: of a transaction, a condition on an item that it does not write."""

    key: str
    when: Sequence[Condition]


Write = Put | Update | Check


@dataclasses.dataclass(frozen=True)
class Page:
    """Items of the index; `next` is the sort value to go on after, empty at the end."""

    items: list[Item]
    next: str


class ConditionFailed(Exception):
    """A condition did not hold. `item` is what was there, None for nothing."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("A condition did not hold.")
        self.item = item


class Invalid(Exception):
    """The table can never do this: an item over 400 KB, an empty key. Our defect, or a limit that nobody checked."""


class Cancelled(Exception):
    """A condition of a transaction did not hold; nothing was written."""


class Table(Protocol):
    """A table. Every write may have been applied although it raised errors.Unavailable: callers repeat it safely.

    All methods raise errors.Unavailable when the table does not answer, and Invalid for what it never takes.
    """

    async def get(self, key: str) -> Item | None:
        """Read an item, consistently."""
        ...

    async def get_many(self, keys: Sequence[str], paths: Sequence[Path] = ()) -> dict[str, Item]:
        """Read items, each consistently; only these paths if any are named. Absent ones are left out."""
        ...

    async def put(self, write: Put) -> None:
        """Put an item; raises ConditionFailed."""
        ...

    async def update(self, write: Update) -> Item:
        """Change an item and return it as it is now, or what `answer` says of it; raises ConditionFailed.

        One whose answer is lost is made again, within the call too: what it adds needs a condition that then fails.
        """
        ...

    async def transact(self, writes: Sequence[Write]) -> None:
        """Apply all writes or none, once, however often the call has to be made; raises Cancelled."""
        ...

    async def query(
        self,
        index: Index,
        partition: str,
        *,
        after: str = "",
        newest_first: bool,
        equal: Mapping[str, Value],
        limit: int,
    ) -> Page:
        """Read up to `limit` items of an index partition beyond `after`, and of those return the ones that match.

        Of each come its key, the index's sort attribute, and `PROJECTED`. The index follows a moment behind.
        """
        ...


def parts(path: Path) -> tuple[str, ...]:
    """The steps of a path."""
    return (path,) if isinstance(path, str) else path

"""A stream with one consumer group in a dict, as the commands of Valkey behave."""

import dataclasses

from services.chunks import entry, store


@dataclasses.dataclass
class Pending:
    """An entry of the pending list."""

    consumer: str
    since: float
    count: int


@dataclasses.dataclass(frozen=True)
class Stored:
    """An entry of the stream. ``number`` orders ids."""

    number: int
    header: entry.Header
    payload: bytes
    born: float


@dataclasses.dataclass
class Handout:
    """What one call hands out."""

    ask: store.Ask
    rows: list[store.Row] = dataclasses.field(default_factory=list)
    # Thousandths of slots.
    filled: int = 0
    lost: list[entry.Ref] = dataclasses.field(default_factory=list)
    draining: bool = False
    alone: bool = False


def number_of(entry_id: str) -> int:
    """The part of an id that orders it."""
    return int(entry_id.partition("-")[2])


class MemoryLane:
    """One lane."""

    def __init__(self) -> None:
        self.entries: dict[str, Stored] = {}
        self.pending: dict[str, Pending] = {}
        self.has_group = False
        self.last_delivered = 0

    @property
    def bytes(self) -> int:
        """Of all entries."""
        return sum(entry.size_of(stored.header, stored.payload) for stored in self.entries.values())

    def create_group(self) -> None:
        """XGROUP CREATE … 0 MKSTREAM."""
        if not self.has_group:
            self.has_group, self.last_delivered = True, 0

    def destroy_group(self) -> None:
        """XGROUP DESTROY: the pending list goes with it."""
        self.has_group, self.last_delivered = False, 0
        self.pending.clear()

    def delete(self, entry_id: str) -> None:
        """XDEL."""
        self.entries.pop(entry_id, None)

    def acknowledge(self, entry_id: str) -> None:
        """XACK and XDEL."""
        self.pending.pop(entry_id, None)
        self.delete(entry_id)

    def owns(self, entry_id: str, consumer: str, count: int) -> bool:
        """Is this the delivery that owns the entry?"""
        pending = self.pending.get(entry_id)
        return pending is not None and pending.consumer == consumer and pending.count == count

    def alive(self, entry_id: str) -> bool:
        """Will somebody ever get this entry?"""
        if entry_id not in self.entries:
            return False
        return entry_id in self.pending or not self.has_group or number_of(entry_id) > self.last_delivered

    def read_new(self, consumer: str, now: float) -> str | None:
        """XREADGROUP COUNT 1 >, the group created from id 0 where it is missing."""
        self.create_group()
        for entry_id, stored in self.entries.items():
            if stored.number > self.last_delivered:
                self.last_delivered = stored.number
                self.pending[entry_id] = Pending(consumer, now, 1)
                return entry_id
        return None

    def parked(self, name: str) -> list[str]:
        """XPENDING of one consumer, in order of ids."""
        return sorted((i for i, pending in self.pending.items() if pending.consumer == name), key=number_of)

    def claim(self, entry_id: str, consumer: str, now: float) -> bool:
        """XCLAIM with min-idle 0; False: the entry is gone, and now from the pending list as well."""
        if entry_id not in self.entries:
            self.pending.pop(entry_id, None)
            return False
        count = self.pending[entry_id].count
        self.pending[entry_id] = Pending(consumer, now, count + 1)
        return True

    def renew(self, entry_id: str, now: float) -> bool:
        """XCLAIM JUSTID by the owner."""
        if entry_id not in self.entries:
            self.pending.pop(entry_id, None)
            return False
        self.pending[entry_id].since = now
        return True

    def park(self, entry_id: str, name: str, since: float) -> None:
        """XCLAIM with RETRYCOUNT and IDLE, to a name that waits for the next taker."""
        if entry_id not in self.entries:
            self.pending.pop(entry_id, None)
            return
        count = self.pending[entry_id].count
        self.pending[entry_id] = Pending(name, since, max(count - 1, 0))

    def autoclaim(
        self, consumer: str, now: float, min_idle: float, cursor: int, count: int
    ) -> tuple[int, list[str], list[str]]:
        """XAUTOCLAIM: the next cursor, what was claimed, what was found deleted."""
        claimed: list[str] = []
        deleted: list[str] = []
        attempts = count * 10
        rest = sorted((i for i in self.pending if number_of(i) >= cursor), key=number_of)
        while rest and attempts and count:
            attempts -= 1
            entry_id = rest.pop(0)
            pending = self.pending[entry_id]
            if entry_id not in self.entries:
                del self.pending[entry_id]
                deleted.append(entry_id)
                count -= 1
            elif now - pending.since >= min_idle:
                self.pending[entry_id] = Pending(consumer, now, pending.count + 1)
                claimed.append(entry_id)
                count -= 1
        return (number_of(rest[0]) if rest else 0), claimed, deleted

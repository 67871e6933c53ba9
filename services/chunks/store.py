"""The queue's operations as one interface. Each is atomic and safe to repeat; each may raise errors.QueueUnavailable.

``valkey_store.ValkeyStore`` is the real one, ``memory_store.MemoryStore`` the same semantics in a dict; a differential
test holds one against the other. Publisher, consumer and the rest are written once, on top.
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Protocol

from services.chunks import entry, keys, settings

# A task and the number of one of its chunks.
Struck = tuple[str, int]


class Outcome(enum.StrEnum):
    """What came of publishing a chunk."""

    PUBLISHED = "published"
    ALREADY = "already"  # the chunk is in flight
    FULL = "full"  # the window, the byte budget or Valkey's memory is used up: wait
    LEASE_LOST = "lease_lost"  # somebody else splits this task: stop


@dataclasses.dataclass(frozen=True)
class Claim:
    """An entry as one delivery of it owns it: consumer and delivery count together are the owner."""

    ref: entry.Ref
    delivery_count: int


# A chunk in hand.
Held = tuple[Claim, entry.Header]


@dataclasses.dataclass(frozen=True)
class Row:
    """A chunk handed out. ``payload`` is still compressed."""

    claim: Claim
    header: entry.Header
    payload: bytes
    strikes: int


@dataclasses.dataclass(frozen=True)
class Ask:
    """A consumer asks for work.

    Attributes:
        consumer: Its name.
        want: Slots to fill; small chunks share one, and the last one may fill more than is left.
        held: Chunks that it has in hand.
        forbidden: Entries that it must not get: it lost them, and its worker has not let go yet.
    """

    consumer: str
    want: float
    held: int
    forbidden: tuple[entry.Ref, ...] = ()

    @property
    def want_thousandths(self) -> int:
        """`want` in thousandths of a slot, as shares are counted."""
        return round(self.want * settings.WHOLE_SLOT)


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a consumer got.

    Attributes:
        rows: The chunks.
        lost: Entries that were deleted from the stream while pending.
        draining: A suspect chunk waits and this consumer is the one that empties itself for it: take nothing more.
        turn: Where the weighted turns go on.
        wakeup: Wait from here.
    """

    rows: list[Row]
    lost: list[entry.Ref]
    draining: bool
    turn: int = 0
    wakeup: str = "0-0"


@dataclasses.dataclass(frozen=True)
class Pruned:
    """A task's chunks in flight, and those that were dropped because nobody will ever get their entry."""

    kept: dict[int, entry.Ref]
    dropped: dict[int, entry.Ref]


@dataclasses.dataclass(frozen=True)
class LaneView:
    """A lane: its entries, those in no embedder's hands, the age of the oldest (0: none), who holds how many, bytes."""

    entries: int
    waiting: int
    oldest_seconds: float
    held: dict[str, int]
    bytes: int


@dataclasses.dataclass(frozen=True)
class QueueView:
    """The whole queue."""

    bytes: int
    lanes: dict[keys.Lane, LaneView]


class Store(Protocol):
    """The queue. Times are Valkey's (or the virtual clock's), never this process's."""

    timing: settings.Timing
    limits: settings.QueueLimits

    async def publish(self, header: entry.Header, payload: bytes, token: str) -> Outcome:
        """Add a chunk (``payload`` compressed) if the token holds the splitting lease, renewing that."""
        ...

    async def has_room(self, header: entry.Header, payload: bytes, token: str) -> Outcome:
        """What ``publish`` would answer now; sends no payload. Renews the splitting lease as well."""
        ...

    async def acquire_split(self, task_id: str, token: str) -> bool:
        """Take the splitting lease if nobody has it."""
        ...

    async def renew_split(self, task_id: str, token: str) -> bool:
        """Extend it for its holder; False: lost, and not brought back."""
        ...

    async def release_split(self, task_id: str, token: str) -> bool:
        """Give it up; False: it was not held."""
        ...

    async def defect(self, task_id: str, lease: str, token: str) -> int:
        """Count a drive of the task that failed inside; a token counts once. Returns how many there are.

        They are forgotten after ``timing.strike_seconds`` without another one, and when the task is over. 0: the drive
        has lost its splitting lease, so it is of no account.
        """
        ...

    async def forgive(self, task_id: str) -> None:
        """Forget the task's defects: it got on."""
        ...

    async def in_flight(self, task_id: str) -> dict[int, entry.Ref]:
        """Chunks published and not yet acked, as recorded."""
        ...

    async def prune(self, task_id: str) -> Pruned:
        """Drop those whose entry is gone or will be read by nobody; read the rest."""
        ...

    async def clear(self, task_id: str) -> int:
        """Take a terminal task's chunks off the queue except those that an embedder works on; returns how many.

        Its defects and the strikes of all other chunks are forgotten. Walks the key space.
        """
        ...

    async def tasks(self) -> set[str]:
        """Tasks with chunks in flight, strikes or defects.

        Walks the key space: for the resubmitter's rounds, not for a hot path.
        """
        ...

    async def announce(self, kind: str, name: str, slots: int) -> None:
        """Say that a process is alive, for ``timing.presence_ttl_seconds``."""
        ...

    async def withdraw(self, kind: str, name: str) -> None:
        """Say that it goes."""
        ...

    async def live(self, kind: str) -> dict[str, int]:
        """Slots of each live process."""
        ...

    async def take(self, ask: Ask, turn: int) -> Taken:
        """Hand out chunks in weighted turns."""
        ...

    async def reclaim(self, ask: Ask) -> Taken:
        """Hand out chunks whose lease ran out; ``turn`` and ``wakeup`` of the answer mean nothing."""
        ...

    async def wait(self, wakeup: str, seconds: float) -> None:
        """Return when there may be work since ``wakeup``, or after ``seconds``. Safe to cancel."""
        ...

    async def heartbeat(self, consumer: str, claims: Sequence[Claim]) -> list[bool]:
        """Renew leases; False for each that the consumer does not own (any more)."""
        ...

    async def ack(self, consumer: str, held: Sequence[Held], *, over: bool = True) -> list[bool]:
        """Take chunks off the queue; False: not the owner, nothing done.

        Those that are not over (not settled, and their task goes on) keep their strikes.
        """
        ...

    async def hand_back(self, consumer: str, claim: Claim, header: entry.Header) -> bool:
        """Let the next one have it at once, its count as before; False: not the owner, nothing done."""
        ...

    async def strike(self, consumer: str, held: Sequence[Held], token: str) -> list[int]:
        """Add one strike to each of the chunks; a token counts once. Returns how many each has.

        0: not the owner, nothing done. Whoever lost a chunk may be the last that ever looks at it.
        """
        ...

    async def take_back(self, chunks: Sequence[Struck], token: str) -> None:
        """Remove one strike of each of the chunks, whoever has them by now."""
        ...

    async def strikes(self, task_id: str, chunk: int) -> int:
        """How many there are."""
        ...

    async def reap(self, name: str = "") -> list[str]:
        """Remove consumers that hold nothing and are dead; with a name only that one, dead or not."""
        ...

    async def look(self) -> QueueView:
        """What is queued."""
        ...

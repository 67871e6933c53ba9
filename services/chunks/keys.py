"""Every key of the queue. All carry the hash tag ``{vectorline}``, so that each Lua script stays in one slot."""

import dataclasses
import enum

GROUP = "embedders"


class Lane(enum.StrEnum):
    """The streams, in the order in which scripts number them (from 1)."""

    FIRST = "first"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


LANES = tuple(Lane)


@dataclasses.dataclass(frozen=True)
class Keys:
    """Names of the keys; ``prefix`` sets several queues on one server apart."""

    prefix: str = ""

    def _key(self, *parts: str) -> str:
        return ":".join(("{vectorline}", *((self.prefix,) if self.prefix else ()), *parts))

    def lane(self, lane: Lane) -> str:
        """The stream of a lane."""
        return self._key("chunks", lane.value)

    @property
    def lanes(self) -> list[str]:
        """All streams, in order."""
        return [self.lane(lane) for lane in LANES]

    def inflight(self, task_id: str) -> str:
        """Hash: chunk → lane:entry id."""
        return self._key("inflight", task_id)

    def split(self, task_id: str) -> str:
        """The splitting lease: the token of its holder."""
        return self._key("split", task_id)

    def defects(self, task_id: str) -> str:
        """Set: a token for each drive of the task that failed inside."""
        return self._key("defects", task_id)

    def strikes(self, task_id: str, chunk: int) -> str:
        """Set: a token for each strike."""
        return f"{self.strikes_prefix}{task_id}:{chunk}"

    def strikes_of(self, task_id: str) -> str:
        """A pattern that matches the strikes of a task's chunks."""
        return f"{self.strikes_prefix}{task_id}:*"

    @property
    def strikes_prefix(self) -> str:
        """What scripts put before ``task:chunk``."""
        return self._key("strikes", "")

    def task_of(self, key: str) -> str:
        """The task of a key that is kept for one: its chunks in flight, its strikes, its defects; else empty."""
        if key.startswith(self.strikes_prefix):
            return key.removeprefix(self.strikes_prefix).rpartition(":")[0]
        kinds = (self.inflight(""), self.defects(""))
        return next((key.removeprefix(kind) for kind in kinds if key.startswith(kind)), "")

    @property
    def all(self) -> str:
        """A pattern that matches every key."""
        return self._key("*")

    def presence(self, kind: str) -> str:
        """Hash: process → expiry (ms of Valkey's clock) and slots."""
        return self._key("presence", kind)

    @property
    def bytes(self) -> str:
        """Hash: lane:entry id → bytes."""
        return self._key("bytes")

    @property
    def wakeup(self) -> str:
        """Stream of one entry that takers block on."""
        return self._key("wakeup")

    @property
    def alone(self) -> str:
        """The consumer that empties itself for a suspect chunk."""
        return self._key("alone")

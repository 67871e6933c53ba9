"""How long and how much: the queue's times and limits."""

import dataclasses

MIB = 1024 * 1024
WHOLE_SLOT = 1000
"""Shares of a slot are told in thousandths of it."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of the queue, in seconds.

    A lease must outlast two missed heartbeats; a test may divide everything by a hundred.

    Attributes:
        lease_seconds: A chunk whose owner was silent for so long may be claimed by anyone.
        heartbeat_seconds: How often an owner renews its leases.
        reclaim_seconds: How often a consumer looks for leases that ran out.
        task_timeout_seconds: Working on a chunk for so long without any progress ends its heartbeat.
        split_seconds: The splitting lease of a task.
        presence_seconds: An embedder that did not announce itself for so long is dead; 0: three heartbeats.
        block_seconds: The longest that ``take`` waits for work; less than the client's ``answer_seconds``.
        reap_seconds: A consumer that holds nothing and was not seen for so long is removed; 0: twice the lease.
        strike_seconds: A strike is forgotten after so long.
    """

    lease_seconds: float = 30
    heartbeat_seconds: float = 10
    reclaim_seconds: float = 10
    task_timeout_seconds: float = 1800
    split_seconds: float = 30
    presence_seconds: float = 0
    block_seconds: float = 1
    reap_seconds: float = 0
    strike_seconds: float = 7 * 24 * 3600

    @property
    def presence_ttl_seconds(self) -> float:
        """How long one announcement lasts."""
        return self.presence_seconds or 3 * self.heartbeat_seconds

    @property
    def reap_idle_seconds(self) -> float:
        """How long a consumer is unseen before it is removed."""
        return self.reap_seconds or 2 * self.lease_seconds


@dataclasses.dataclass(frozen=True)
class QueueLimits:
    """Limits of the queue.

    Attributes:
        queue_bytes: All entries together; one larger entry is admitted to an empty queue only.
        window_per_slot: Chunks in flight of one task for each live slot of all embedders; of small ones more.
        window_floor: The least window, also while no embedder is alive.
        slot_rows: A chunk of so many rows fills a slot, as one of `slot_bytes` does; smaller ones share it.
        slot_bytes: Of a payload, unpacked.
        chunks_per_slot: No more of them share one, however small they are.
        suspect_strikes: From so many on a chunk is taken only by an embedder that holds nothing else.
        poison_strikes: From so many on a chunk is failed by its header alone.
    """

    queue_bytes: int = 256 * MIB
    window_per_slot: int = 2
    window_floor: int = 4
    slot_rows: int = 1000
    slot_bytes: int = 4 * MIB
    chunks_per_slot: int = 20
    suspect_strikes: int = 2
    poison_strikes: int = 5

    @property
    def least_share(self) -> int:
        """What the smallest chunk fills of a slot, in thousandths."""
        return WHOLE_SLOT // self.chunks_per_slot

    def share(self, rows: int, payload_bytes: int) -> int:
        """What a chunk fills of a slot, in thousandths: what is in hand is counted in rows and bytes, not in chunks."""
        filled = max(-(-rows * WHOLE_SLOT // self.slot_rows), -(-payload_bytes * WHOLE_SLOT // self.slot_bytes))
        return max(self.least_share, min(filled, WHOLE_SLOT))

    def window(self, slots: int, share: int) -> int:
        """How many chunks of this share of a slot a task may have in flight."""
        return max(slots * self.window_per_slot * WHOLE_SLOT // share, self.window_floor)

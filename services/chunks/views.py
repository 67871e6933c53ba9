"""Views of queue and workers, for health and metrics."""

import dataclasses

from services.chunks import keys, presence, store


@dataclasses.dataclass(frozen=True)
class Worker:
    """An embedder: chunks that it has in hand and slots that are free."""

    name: str
    active: int
    available: int


@dataclasses.dataclass(frozen=True)
class Overview:
    """The queue as it is now.

    Attributes:
        workers: Live embedders.
        queued: Chunks published and in nobody's hands.
        pending: Chunks in an embedder's hands, also a dead one's.
        bytes: All entries together.
        most_bytes: What all entries together may come to.
        oldest_seconds: Age of the oldest entry; 0 when there is none.
        lanes: Each lane by itself.
    """

    workers: list[Worker]
    queued: int
    pending: int
    bytes: int
    most_bytes: int
    oldest_seconds: float
    lanes: dict[keys.Lane, store.LaneView]

    @property
    def active(self) -> int:
        """Busy slots of all live embedders."""
        return sum(worker.active for worker in self.workers)

    @property
    def available(self) -> int:
        """Free slots of all live embedders."""
        return sum(worker.available for worker in self.workers)


class Views:
    """Looks at the queue."""

    def __init__(self, queue: store.Store) -> None:
        self._store = queue

    async def overview(self) -> Overview:
        """Everything at once.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        view = await self._store.look()
        lanes = view.lanes.values()
        workers = []
        for name, slots in sorted((await self._store.live(presence.EMBEDDERS)).items()):
            active = sum(lane.held.get(name, 0) for lane in lanes)
            workers.append(Worker(name, active, max(slots - active, 0)))
        return Overview(
            workers=workers,
            queued=sum(lane.waiting for lane in lanes),
            pending=sum(lane.entries - lane.waiting for lane in lanes),
            bytes=view.bytes,
            most_bytes=self._store.limits.queue_bytes,
            oldest_seconds=max(lane.oldest_seconds for lane in lanes),
            lanes=view.lanes,
        )

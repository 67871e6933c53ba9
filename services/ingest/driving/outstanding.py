"""What of a task's chunks is still to come. What is in flight is read before what is settled: an ack lies between."""

import dataclasses

from services.chunks import inflight
from services.ingest import ledger_client
from services.ingest.planning import plan


@dataclasses.dataclass(frozen=True)
class Outstanding:
    """The chunks that are neither settled nor in flight, and how many are settled."""

    missing: frozenset[int]
    settled: int


async def of(flight: inflight.InFlight, ledger: ledger_client.Ledger, task_id: str, chunks: int) -> Outstanding:
    """Look at a task with so many chunks; raises what its clients do."""
    alive = await flight.alive(task_id)
    missing: set[int] = set()
    settled_total = 0
    for first in range(0, chunks, plan.SHARD_CHUNKS):
        numbers = range(first, min(first + plan.SHARD_CHUNKS, chunks))
        settled = await ledger.settled_chunks(task_id, first // plan.SHARD_CHUNKS)
        settled_total += len(settled)
        missing.update(number for number in numbers if number not in alive and number not in settled)
    return Outstanding(frozenset(missing), settled_total)

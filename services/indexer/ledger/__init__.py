"""The ledger: the truth about tasks and chunks, one noun a file.

`items` names what is stored · `creation` stores a task once · `lifecycle` moves its status · `turns` says whose turn it
is · `shards` holds the books of chunks · `closing` settles, rolls up, seals, closes · `gate` answers before each
purchase and write · `namespaces` keeps models apart · `progress` counts · `listing` lists.

It keeps nothing in the process but what can never change: any indexer may answer any call, and may die in any.
"""

from collections.abc import Callable, Sequence

from services.indexer import clock, table
from services.indexer.ledger import closing, creation, gate, lifecycle, listing, namespaces, progress, shards, turns


def _closed() -> bool:
    """Pinecone takes vectors."""
    return False


def _unknown() -> int:
    """The index was not described yet."""
    return 0


class Ledger:
    """The ledger's parts over one table.

    Args:
        storage: The table.
        watch: The ledger's clock.
        index: The Pinecone index that turns and namespaces are about.
        upsert_deadline_seconds: Longest that one upsert may take.
        circuit_open: Whether Pinecone is known not to take vectors now.
        index_dimension: Values a vector of the index; 0 while that is not known.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        *,
        index: str,
        upsert_deadline_seconds: float = 30.0,
        circuit_open: Callable[[], bool] = _closed,
        index_dimension: Callable[[], int] = _unknown,
    ) -> None:
        self._table = storage
        self.clock = watch
        self.creation = creation.Creation(storage, watch)
        self.tasks = lifecycle.Lifecycle(storage, watch)
        self.shards = shards.Shards(storage, watch)
        self.closing = closing.Closing(storage, self.tasks, self.shards)
        self.namespaces = namespaces.Namespaces(storage, watch, index=index, index_dimension=index_dimension)
        self.gate = gate.Gate(storage, self.tasks, self.closing, self.namespaces, circuit_open)
        self.turns = turns.Turns(
            storage, watch, self.tasks, index=index, upsert_deadline_seconds=upsert_deadline_seconds
        )
        self.listing = listing.Tasks(storage)

    async def progress(self, tasks: Sequence[table.Item]) -> list[progress.Progress]:
        """How far each of these tasks is."""
        return await progress.read(self._table, tasks)

    async def resume(self, task_id: str) -> table.Item:
        """A blocked task goes on, or ends if all its chunks were settled before it was blocked."""
        await self.tasks.resume(task_id)
        return await self.closing.heal(task_id)

    async def fail_chunk(self, task_id: str, chunk: int, fence: int, outcome: shards.Outcome) -> gate.Answer:
        """Settle a chunk by its header alone, if it may be; GO and SETTLED: it is settled now."""
        answer = await self.gate.check_chunk(task_id, chunk, fence)
        if answer == gate.Answer.GO:
            await self.closing.settle(task_id, chunk, outcome)
        return answer

    async def probe(self) -> None:
        """Ask the table something; raises errors.Unavailable when it does not answer."""
        await self._table.get("probe")

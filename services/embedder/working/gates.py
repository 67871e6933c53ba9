"""The gate before every purchase, kept fresh for each chunk in hand; chunks of a task that ask at once go together."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from services.chunks import entry
from services.chunks.delivery import Delivery
from services.embedder import indexer_client
from services.embedder.buying import pending_batch
from services.embedder.buying.pending_batch import PendingBatch, Reason
from services.runtime import grouping
from services.runtime.tracing import spans

log = structlog.get_logger()

# Well under the age at which the gate's answer is stale.
REFRESH_SECONDS = 1.0
LOG_EVERY = 30
# Chunks that one question names.
MOST_TOGETHER = 100


class Ledger(Protocol):
    """`indexer_client.Indexer`, or a fake."""

    async def begin_chunks(
        self, headers: Sequence[entry.Header], model: str, dimension: int, *, waits: str, answer_seconds: float
    ) -> Sequence[indexer_client.Gate]:
        """See `indexer_client.Indexer`."""


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What chunks that go together have in common."""

    task_id: str
    fence: int
    model: str
    dimension: int


class Gates:
    """Asks for chunks, and tells their batches.

    Args:
        ledger: Answers.
        waits: Why nothing is bought, for whoever looks at the task; "": something is.
    """

    def __init__(self, ledger: Ledger, waits: Callable[[], str]) -> None:
        self._ledger = ledger
        self._waits = waits
        self._groups: grouping.Groups[_Kind, entry.Header, indexer_client.Gate] = grouping.Groups(
            self._together, MOST_TOGETHER
        )

    async def keep(self, delivery: Delivery, batch: PendingBatch, model: str, dimension: int) -> None:
        """Ask often enough that nothing is bought on an answer older than 2 s."""
        unanswered = 0
        while not batch.finished or batch.untouched:
            asked_at = _now()
            try:
                await self.ask(delivery, batch, model, dimension)
            except indexer_client.IndexerUnavailable as error:
                if unanswered % LOG_EVERY == 0:
                    log.warning("The gate does not answer, so nothing is bought.", action="gate_down", error=str(error))
                unanswered += 1
            else:
                unanswered = 0
            spans.leave()  # the first question is part of the chunk's trace; there may be thousands
            # From the question on: an answer that came late is old already.
            await asyncio.sleep(max(0.0, asked_at + REFRESH_SECONDS - _now()))

    async def ask(self, delivery: Delivery, batch: PendingBatch, model: str, dimension: int) -> None:
        """Ask once, and tell the batch.

        Raises:
            indexer_client.IndexerUnavailable: No answer came in time.
        """
        asked_at = _now()
        header = delivery.header
        try:
            gate = await self._groups.call(_Kind(header.task_id, header.fence, model, dimension), header)
        except indexer_client.ChunkRefused as error:
            batch.drop(Reason.VOID, str(error))
            return
        except indexer_client.Impossible as error:
            batch.drop(Reason.IMPOSSIBLE, str(error))
            return
        if gate is indexer_client.Gate.GO:
            batch.admit(asked_at)
        elif gate is indexer_client.Gate.WAIT:
            delivery.progress()  # an open circuit is waited for, not worked at
        else:
            batch.drop(reason(gate), gate.name)

    async def _together(self, kind: _Kind, headers: Sequence[entry.Header]) -> Sequence[indexer_client.Gate]:
        return await self._ledger.begin_chunks(
            headers, kind.model, kind.dimension, waits=self._waits(), answer_seconds=pending_batch.GATE_SECONDS
        )


def reason(gate: indexer_client.Gate) -> Reason:
    """Why nothing more is to be done for a chunk, by the gate's word: may it be split again, or never?"""
    over = gate in (indexer_client.Gate.SETTLED, indexer_client.Gate.CANCELLED)
    return Reason.OVER if over else Reason.VOID


def _now() -> float:
    return asyncio.get_running_loop().time()

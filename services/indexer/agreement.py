"""Vectors that were bought again, held against those that the index has: what a verify or an adopt sends as chunks.

Nothing is written. The same text and model give the same vector but for the provider's rounding: those of OpenAI have
a cosine of 0.9999 and more, those of two texts of one language 0.9 at most, as a rule.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from services.billing import spend
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import meter
from services.runtime import errors

LEAST_COSINE: Final = 0.999
# Of the lengths of two vectors: an index by dot product or distance tells those apart.
LENGTHS: Final = 0.01
DIFFERING: Final = "differing"


class Records(Protocol):
    """What is asked of the index."""

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batches.Record], spend.Spend]:
        """Records by id, and what it cost to ask."""


class Agreement:
    """Takes batches as `writer.Upserts` does, and compares them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def write(
        self, batch: batches.Batch, check: Callable[[], Awaitable[None]], bill: meter.Meter
    ) -> dict[int, str]:
        """Compare a batch; `check` is asked before and may raise to stop.

        Returns:
            Records that do not agree: position in the batch to a sentence that says why.

        Raises:
            batches.IndexUnavailable: The index does not answer; to be sent again later.
        """
        await check()
        try:
            found, spent = await self._records.fetch(batch.namespace, [vector.id for vector in batch.vectors])
        except errors.Unavailable as error:
            raise batches.IndexUnavailable(error.message) from error
        bill.read(spent)
        words = ((place, _difference(vector, found.get(vector.id))) for place, vector in enumerate(batch.vectors))
        return {place: why for place, why in words if why}


def _difference(vector: batches.Vector, record: batches.Record | None) -> str:
    """Why a record of the index is not what was bought again; empty: it is."""
    if record is None:
        return "The index does not have the record."
    bought, there = batches.floats(vector.values), batches.floats(record.values)
    if len(bought) != len(there):
        return f"The vector in the index has {len(there)} values, and the text's {len(bought)}."
    lengths = math.hypot(*bought), math.hypot(*there)
    if not all(lengths):
        return "The vector in the index is all zeros."
    cosine = sum(mine * theirs for mine, theirs in zip(bought, there, strict=True)) / (lengths[0] * lengths[1])
    if cosine < LEAST_COSINE:
        return f"The vector in the index is not the text's: their cosine is {cosine:.4f}, and {LEAST_COSINE} at least."
    if abs(lengths[1] / lengths[0] - 1) > LENGTHS:
        return f"The vector in the index has a length of {lengths[1]:.4f}, and the text's {lengths[0]:.4f}."
    return ""

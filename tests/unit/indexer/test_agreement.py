"""A vector that was bought again, against the one that the index has."""

import struct
from collections.abc import Sequence

import pytest
from google.protobuf import struct_pb2

from services.billing import spend
from services.indexer import agreement
from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import meter
from services.runtime import errors


def packed(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


class Index:
    """Has one record, or does not answer."""

    def __init__(self, *values: float) -> None:
        self.values = values
        self.down = False

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batches.Record], spend.Spend]:
        if self.down:
            raise errors.Unavailable("Pinecone does not answer now.")
        assert (namespace, ids) == ("v2", ["7.1"])
        record = batches.Record(struct_pb2.Struct(), packed(*self.values))
        return {"7.1": record} if self.values else {}, spend.Spend(read_thousandths=1_000)


async def words(index: Index, *bought: float) -> str:
    """Why they do not agree; empty: they do."""
    paid, asked = meter.Meter(), []

    async def check() -> None:
        asked.append(1)

    batch = batches.Batch([batches.Vector("7.1", memoryview(packed(*bought)), b"")], "v2")
    found = await agreement.Agreement(index).write(batch, check, paid)
    assert asked == [1]
    assert paid.spent == spend.Spend(read_thousandths=1_000)
    return found.get(0, "")


@pytest.mark.parametrize(
    "there", [(0.6, 0.8, 0.0), (0.6, 0.7999, 0.002), (0.601, 0.801, 0.0)], ids=["same", "noise", "rounded"]
)
async def test_the_same_text_agrees_but_for_rounding(there: tuple[float, ...]) -> None:
    assert await words(Index(*there), 0.6, 0.8, 0.0) == ""


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((0.0, 0.6, 0.8), "cosine"),
        ((-0.6, -0.8, 0.0), "cosine"),
        ((0.6, 0.75, 0.1), "cosine"),
        ((1.2, 1.6, 0.0), "length"),
        ((0.0, 0.0, 0.0), "zeros"),
        ((0.6, 0.8), "2 values"),
        ((), "does not have"),
    ],
    ids=["other", "opposite", "near", "longer", "nothing", "narrower", "gone"],
)
async def test_any_other_does_not(there: tuple[float, ...], said: str) -> None:
    assert said in await words(Index(*there), 0.6, 0.8, 0.0)


async def test_an_index_that_does_not_answer_settles_nothing() -> None:
    index = Index(1.0)
    index.down = True
    with pytest.raises(batches.IndexUnavailable):
        await words(index, 1.0)

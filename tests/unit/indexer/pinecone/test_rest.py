"""Upserts by Pinecone's SDK end when they have to, whatever it does inside."""

import asyncio
from typing import Any

import pytest

from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import rest
from services.runtime import errors

BATCH = batches.Batch([batches.Vector("1.1", memoryview(bytes(8)), b"")], "v2")


class Slow:
    """An index whose SDK tries again and again."""

    async def data_plane(self) -> tuple[Any, str]:
        return self, "key"

    async def upsert(self, **_: Any) -> Any:
        await asyncio.sleep(3_600)


class Unknown:
    """An index that the control plane does not describe now."""

    async def data_plane(self) -> tuple[Any, str]:
        raise errors.Unavailable("Pinecone does not answer.")


async def test_the_deadline_holds_for_all_tries_of_the_sdk_together() -> None:
    """A turn passes on 3 s after it: what is written later would be another task's loss."""
    index: Any = Slow()
    async with asyncio.timeout(5.0):
        with pytest.raises(batches.IndexUnavailable) as failure:
            await rest.Rest(index, 0.01).upsert(BATCH)
    assert failure.value.busy


async def test_an_index_that_cannot_be_found_is_unavailable_as_any() -> None:
    index: Any = Unknown()
    with pytest.raises(batches.IndexUnavailable, match="does not answer"):
        await rest.Rest(index, 1.0).upsert(BATCH)

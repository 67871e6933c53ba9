"""Where the index's data plane is, by what the control plane and its SDK say, and how often they are asked."""

import asyncio
import socket
from typing import Any

import pytest
from pinecone import errors as sdk_errors
from pinecone.models.indexes import index as sdk

from services.indexer import settings
from services.indexer.pinecone import client
from services.runtime import errors, health


@pytest.mark.parametrize(
    ("described", "controller", "url"),
    [
        ("index-1.svc.pinecone.io", None, "https://index-1.svc.pinecone.io"),
        ("index-1.svc.pinecone.io", "https://api.pinecone.io", "https://index-1.svc.pinecone.io"),
        ("localhost:5081", "http://localhost:5080", "http://localhost:5081"),
        ("http://127.0.0.1:5081", "http://127.0.0.1:5080", "http://127.0.0.1:5081"),
        ("pinecone", "http://pinecone", "http://pinecone"),
        ("http://127.0.0.1:5081", "https://proxy.example", "http://127.0.0.1:5081"),
    ],
)
def test_the_data_plane_is_spoken_to_as_the_controller_is(described: str, controller: str | None, url: str) -> None:
    assert client.data_plane_url(described, controller) == url
    # As the SDK hands it on: it writes https:// before a host that came bare.
    handed_on = sdk.normalize_host(described)
    assert client.data_plane_url(handed_on, controller) == url


async def test_those_that_wait_for_a_look_at_the_index_share_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    index = client.Pinecone(settings.PineconeSettings())
    looks = 0

    async def describe() -> client.Index:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.001)
        return client.Index("a", "https://a", 8)

    monkeypatch.setattr(index, "_describe", describe)
    await asyncio.gather(*(index.look_again() for _ in range(20)))
    assert looks <= 2, "the first one may have begun before the others asked"

    looks = 0
    await index.look_again()
    assert looks == 1, "what was seen before somebody asks is not good for him"


async def test_a_name_of_several_addresses_is_dialled_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address is another client of the SDK, and the one before is closed under the calls that use it."""
    known = ["10.0.0.1", "10.0.0.2"]

    def resolve(_host: Any, port: Any, *_: Any, **__: Any) -> Any:
        known.reverse()  # as many name servers do
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    first = await client.dialled("http://pinecone:5081")
    assert [await client.dialled("http://pinecone:5081", first) for _ in range(3)] == [first] * 3

    known[:] = ["10.0.0.3"]
    assert await client.dialled("http://pinecone:5081", first) == "http://10.0.0.3:5081"


@pytest.mark.parametrize("said", [sdk_errors.PineconeConnectionError, sdk_errors.PineconeError])
async def test_the_librarys_own_words_are_not_for_the_callers_of_a_search(
    monkeypatch: pytest.MonkeyPatch, said: type[Exception]
) -> None:
    class Broken:
        indexes: Any

        async def describe(self, _name: str) -> Any:
            raise said("HTTPSConnectionPool(host='internal.example'): canary")

    async def opened() -> Broken:
        broken = Broken()
        broken.indexes = broken
        return broken

    index = client.Pinecone(settings.PineconeSettings())
    monkeypatch.setattr(index, "_opened", opened)
    with pytest.raises(errors.Unavailable) as refused:
        await index.query([0.0], namespace="v2", top_k=1, metadata_filter=None)

    assert "canary" not in refused.value.message
    assert "canary" in health._words(refused.value), "the log tells the operator"

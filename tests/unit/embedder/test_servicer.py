"""Who may search where, and how often; refused before anything is bought."""

from typing import Any

import pytest
from vectorline.v1 import embedder_pb2

from services.embedder import servicer
from services.runtime import errors, identity, key_rates
from tests.support.key_tokens import LocalTokens

NAMESPACE = "v2"


class Bought:
    """Counts what was embedded."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def measure(self, text: str) -> tuple[int, str]:
        return 2, ""

    async def embed(self, texts: list[str], cost: int) -> tuple[list[bytes], int]:
        assert cost == 2  # counted before, once
        self.texts += texts
        return [b"" for _ in texts], 1


class Index:
    """Notes where was searched."""

    def __init__(self) -> None:
        self.namespaces: list[str] = []

    async def query(self, _vector: bytes, *, namespace: str, **_: Any) -> list[Any]:
        self.namespaces.append(namespace)
        return []


class Line:
    def __init__(self) -> None:
        self.bought, self.index, self.tokens = Bought(), Index(), LocalTokens()
        nothing: Any = None
        embeddings: Any = self.bought
        index: Any = self.index
        self.api = servicer.EmbedderServicer(
            embeddings,
            index,
            nothing,
            nothing,
            nothing,
            model="m",
            default_namespace=NAMESPACE,
            rate=key_rates.LocalRate(),
            tokens=self.tokens,
        )

    async def search(self, namespace: str = "", **of_key: Any) -> None:
        context: Any = None
        token = identity.bind(identity.Caller("ann", frozenset({"read"}), **of_key))
        try:
            await self.api.Search(embedder_pb2.SearchRequest(text="a stool", namespace=namespace), context)
        finally:
            identity.unbind(token)


@pytest.mark.parametrize("namespace", ["mine", "mine-2", ""])
async def test_a_key_searches_what_its_list_names_the_default_too(namespace: str) -> None:
    line = Line()
    await line.search(namespace, allow=identity.Reach(namespaces=("mine*", NAMESPACE)))
    assert line.index.namespaces == [namespace or NAMESPACE]


@pytest.mark.parametrize("namespace", ["theirs", ""])
async def test_what_it_does_not_name_is_refused_before_a_cent_is_spent(namespace: str) -> None:
    line = Line()
    with pytest.raises(errors.PermissionDenied, match=r"allow\.namespaces"):
        await line.search(namespace, allow=identity.Reach(namespaces=("mine",)))
    assert line.bought.texts == []


async def test_a_key_without_lists_searches_anywhere() -> None:
    line = Line()
    await line.search("theirs")
    assert line.index.namespaces == ["theirs"]


async def test_searches_of_a_key_are_limited_by_themselves() -> None:
    line = Line()
    limits = identity.KeyAllowance(searches_per_second=2)
    for _ in range(2):
        await line.search(limits=limits)
    with pytest.raises(errors.ResourceExhausted) as refused:
        await line.search(limits=limits)

    assert refused.value.reason == "SEARCHES_QUOTA_EXCEEDED"
    assert 0 < refused.value.retry_seconds <= 1
    assert len(line.bought.texts) == 2


@pytest.mark.parametrize("namespace", ["größe", "a\nb", " ", "x" * 513])
async def test_a_namespace_that_the_index_refuses_is_refused_before_the_text_is_bought(namespace: str) -> None:
    line = Line()
    with pytest.raises(errors.InvalidArgument) as caught:
        await line.search(namespace)
    assert [violation.field for violation in caught.value.violations] == ["namespace"]
    assert not line.bought.texts


async def test_searches_are_counted_for_a_key_with_a_limit_of_tokens_and_end_with_it() -> None:
    line = Line()
    for _ in range(2):
        await line.search(limits=identity.KeyAllowance(tokens_per_day=2))
    with pytest.raises(errors.ResourceExhausted) as refused:
        await line.search(limits=identity.KeyAllowance(tokens_per_day=2))

    assert refused.value.reason == "TOKENS_QUOTA_EXCEEDED"
    assert len(line.bought.texts) == 2
    await line.search(limits=identity.KeyAllowance(tokens_per_day=3))
    await line.search()
    assert line.tokens.by_key == {"ann": 3}

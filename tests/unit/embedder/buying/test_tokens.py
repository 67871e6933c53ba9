"""Counts are exact where a limit could be touched, and never too low."""

import hypothesis
import pytest
from hypothesis import strategies as st

from services.embedder.buying import packing, tokens


@hypothesis.given(st.lists(st.text(max_size=60), max_size=5))
def test_the_bound_is_never_below_the_count(texts: list[str]) -> None:
    assert all(count <= bound for count, bound in zip(tokens.count(texts), tokens.bound(texts), strict=True))


def test_what_looks_like_a_special_token_counts_as_text() -> None:
    assert tokens.count(["<|endoftext|>"])[0] > 1


def counting(model: str = tokens.OPENAI, *, limited: bool = True, rate: float = 0.0) -> tokens.Counting:
    return tokens.Counting(model, request_limited=limited, tokens_per_second=lambda: rate)


LONGEST = packing.REQUEST_TOKENS // packing.REQUEST_INPUTS
LONG = "word " * LONGEST


def test_texts_are_counted_only_where_a_limit_could_be_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "count", lambda texts: ["counted"] * len(texts))
    assert counting().where_needed(["a" * LONGEST, "b"]) == [LONGEST, 1]
    assert counting().where_needed([]) == []
    assert counting().where_needed([LONG]) == ["counted"]
    assert counting(limited=False).where_needed([LONG]) == [len(LONG)]
    assert counting(limited=False, rate=1_000.0).where_needed(["a"]) == ["counted"], "also a limit that a 429 taught"


@pytest.mark.parametrize("model", ["text-embedding-3-large", "text-embedding-ada-002", "openai/text-embedding-3-small"])
def test_the_models_of_openai_are_counted_exactly(model: str) -> None:
    assert counting(model, rate=1.0).where_needed(["hello world", LONG]) == tokens.count(["hello world", LONG])
    assert counting(model).measure("word " * 9_000)[1]


@pytest.mark.parametrize("model", ["BAAI/bge-m3", "gemini-embedding-001", "gpt-4o", "embeddings"])
def test_a_model_of_another_encoding_is_never_counted_as_openais(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_encoding", None)
    subject = counting(model, rate=1.0)
    for count in (subject.where_needed, subject.exact):
        assert count(["", "hello world", "日本"]) == [2, 7, 5]
    assert not subject.measure("word " * 9_000)[1], "its provider knows"
    assert subject.measure("x" * 2_000_000)[1]

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


def test_short_texts_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_texts: object) -> list[int]:
        raise AssertionError("counted")

    monkeypatch.setattr(tokens, "count", fail)
    longest = packing.REQUEST_TOKENS // packing.REQUEST_INPUTS
    assert tokens.count_where_needed(["a" * longest, "b"]) == [longest, 1]
    assert tokens.count_where_needed([]) == []
    with pytest.raises(AssertionError, match="counted"):
        tokens.count_where_needed(["a" * (longest + 1)])

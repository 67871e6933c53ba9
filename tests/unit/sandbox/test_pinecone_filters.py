"""The filter language: what each operator means, checked against its definition on generated metadata."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pinecone import errors, filters

SCALARS = st.one_of(st.text(max_size=3), st.booleans(), st.integers(-5, 5), st.floats(-5, 5))
METADATA = st.dictionaries(
    st.sampled_from("abc"), st.one_of(SCALARS, st.lists(st.text(max_size=2), max_size=3)), max_size=3
)
CONDITIONS = st.one_of(
    st.fixed_dictionaries({"$eq": SCALARS}),
    st.fixed_dictionaries({"$in": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$gte": st.integers(-5, 5)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
)
FILTERS = st.dictionaries(st.sampled_from("abc"), CONDITIONS, min_size=1, max_size=2)


def matches(expression: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return filters.compile_filter(expression)(metadata)


@given(METADATA, SCALARS)
def test_ne_is_the_negation_of_eq_and_nin_of_in(metadata: dict[str, Any], operand: Any) -> None:
    assert matches({"a": {"$eq": operand}}, metadata) is not matches({"a": {"$ne": operand}}, metadata)
    assert matches({"a": {"$in": [operand]}}, metadata) is not matches({"a": {"$nin": [operand]}}, metadata)


@given(METADATA, SCALARS)
def test_a_bare_value_means_eq_and_eq_means_in_of_one(metadata: dict[str, Any], operand: Any) -> None:
    expected = matches({"a": {"$in": [operand]}}, metadata)
    assert matches({"a": operand}, metadata) is matches({"a": {"$eq": operand}}, metadata) is expected


@given(METADATA, FILTERS, FILTERS)
def test_and_or_and_several_fields_combine_as_they_say(
    metadata: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = matches(first, metadata), matches(second, metadata)
    assert matches({"$and": [first, second]}, metadata) is (one and two)
    assert matches({"$or": [first, second]}, metadata) is (one or two)
    assert matches(first, metadata) is all(matches({key: value}, metadata) for key, value in first.items())


@given(METADATA, st.integers(-5, 5))
def test_comparisons_hold_for_numbers_only(metadata: dict[str, Any], bound: int) -> None:
    value = metadata.get("a")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    assert matches({"a": {"$gt": bound}}, metadata) is (is_number and value > bound)
    assert matches({"a": {"$lte": bound}}, metadata) is (is_number and value <= bound)


def test_true_is_not_the_number_one() -> None:
    assert not matches({"a": 1}, {"a": True})
    assert not matches({"a": True}, {"a": 1})


def test_a_list_matches_by_any_of_its_items() -> None:
    assert matches({"tags": {"$in": ["x", "y"]}}, {"tags": ["y", "z"]})
    assert not matches({"tags": {"$ne": "y"}}, {"tags": ["y", "z"]})


def test_exists_looks_at_the_key() -> None:
    assert matches({"a": {"$exists": True}}, {"a": ""})
    assert matches({"a": {"$exists": False}}, {"b": 1})


@pytest.mark.parametrize(
    "expression",
    [
        {"a": {"$near": 1}},
        {"$not": [{"a": 1}]},
        {"a": {"$gt": "x"}},
        {"a": {"$in": "x"}},
        {"a": {}},
        {"a": ["x"]},
        {"$and": []},
        {"a": {"$exists": 1}},
        {"a": None},
    ],
)
def test_a_filter_that_means_nothing_is_refused(expression: dict[str, Any]) -> None:
    with pytest.raises(errors.ApiError) as caught:
        filters.compile_filter(expression)
    assert caught.value.code is errors.Code.INVALID_ARGUMENT

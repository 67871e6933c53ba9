"""Pinecone's metadata filter language, compiled to a predicate over a metadata dict.

A field that holds a list of strings matches `$eq` and `$in` if any of its items does; `$ne` and `$nin` are their
negations (so they also match records that lack the field).
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.pinecone import errors

Predicate = Callable[[Mapping[str, Any]], bool]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def compile_filter(expression: Any) -> Predicate:
    """Return the predicate of a filter.

    Raises:
        ApiError: INVALID_ARGUMENT, naming what is wrong.

    """
    if not isinstance(expression, Mapping):
        raise errors.invalid("filter must be an object")
    parts = [_compile_entry(key, value) for key, value in expression.items()]
    if len(parts) == 1:
        return parts[0]
    return lambda metadata: all(part(metadata) for part in parts)


def _compile_entry(key: str, value: Any) -> Predicate:
    if key in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise errors.invalid(f"the {key} operator must be followed by a non-empty list of filters")
        parts = [compile_filter(item) for item in value]
        chosen = all if key == "$and" else any
        return lambda metadata: chosen(part(metadata) for part in parts)
    if key.startswith("$"):
        raise errors.invalid(f"{key} is not a valid operator")
    if not isinstance(value, Mapping):
        return _compile_condition(key, "$eq", value)
    if not value:
        raise errors.invalid(f"illegal condition for field {key}, got {{}}")
    parts = [_compile_condition(key, name, operand) for name, operand in value.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _compile_condition(field: str, name: str, operand: Any) -> Predicate:
    if name in _COMPARISONS:
        return _compile_comparison(field, name, operand)
    if name in ("$eq", "$ne"):
        if not _is_scalar(operand):
            raise errors.invalid(
                f"the {name} operator must be followed by a string, boolean or a number, got {operand} instead"
            )
        return _compile_membership(field, [operand], wanted=name == "$eq")
    if name in ("$in", "$nin"):
        if not isinstance(operand, list) or not all(_is_scalar(item) for item in operand):
            raise errors.invalid(f"the {name} operator must be followed by a list of strings or numbers, got {operand}")
        return _compile_membership(field, operand, wanted=name == "$in")
    if name == "$exists":
        if not isinstance(operand, bool):
            raise errors.invalid(f"the $exists operator must be followed by a boolean, got {operand} instead")
        return lambda metadata: (field in metadata) is operand
    raise errors.invalid(f"{name} is not a valid operator")


def _compile_comparison(field: str, name: str, operand: Any) -> Predicate:
    if not _is_number(operand):
        raise errors.invalid(f"the {name} operator must be followed by a number, got {operand} instead")
    compare = _COMPARISONS[name]

    def matches(metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(field)
        return _is_number(value) and compare(value, operand)

    return matches


def _compile_membership(field: str, operands: list[Any], *, wanted: bool) -> Predicate:
    # True == 1 in Python, but not in Pinecone: the kind is part of the key.
    keys = {(isinstance(operand, bool), operand) for operand in operands}

    def matches(metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(field)
        values = value if isinstance(value, list) else [value]
        return any((isinstance(item, bool), item) in keys for item in values) is wanted

    return matches


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)

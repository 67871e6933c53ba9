"""What one embeddings request may ask for: its parameters and its size.

The limits are OpenAI's (https://platform.openai.com/docs/api-reference/embeddings/create): 2,048 inputs, 8,192 tokens
an input, 300,000 tokens a request.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any, Final

import orjson

from sandbox.openai import catalogue, dialects, errors, tokens

MOST_TOKENS_PER_INPUT: Final = 8_192
MOST_TOKENS_PER_REQUEST: Final = 300_000
_BYTES_PER_TOKEN: Final = 4  # what English text has in cl100k_base, on average: the base of an estimate
_LEAST_BYTES_PER_TOKEN: Final = 2  # what prose, digits and CJK text stay above: below it an estimate trusts itself


class Counting(enum.StrEnum):
    """How ``usage.prompt_tokens`` comes about."""

    EXACT = "exact"
    ESTIMATE = "estimate"


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """A request that may be served: n ``texts`` of ``token_count`` tokens in all, ``dimensions`` floats a vector."""

    model: catalogue.Model
    texts: list[str]
    token_count: int
    dimensions: int
    as_base64: bool


def read(body: bytes, counting: Counting, dialect: dialects.Dialect = dialects.OPENAI, deployment: str = "") -> Order:
    """Turn the JSON ``body`` into an order.

    With ``Counting.ESTIMATE`` texts are counted only where a limit may be near: an input of more than 8,192 bytes, and
    of a request of more than 600,000 bytes as many, the longest first, as it takes to know (texts of under two bytes a
    token may so pass the limit of the request).
    Raises errors.ApiError as the real API would answer.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.unparsable() from None
    if not isinstance(fields, dict):
        raise errors.unparsable()
    model = dialect.model or _model(deployment or fields.get("model"))
    as_base64 = _as_base64(fields.get("encoding_format"), dialect)
    dimensions = _dimensions(fields.get("dimensions"), model, dialect)
    if fields.get("input") is None:
        raise errors.missing_input()
    texts, counts = _inputs(fields["input"], dialect)
    if counts is None:
        counts = _count(texts, counting, dialect, is_array=isinstance(fields["input"], list))
    total = sum(counts)
    if total > MOST_TOKENS_PER_REQUEST:
        raise errors.request_too_long(total, MOST_TOKENS_PER_REQUEST)
    return Order(model, texts, total, dimensions, as_base64)


def _model(name: Any) -> catalogue.Model:
    if not isinstance(name, str) or not name:
        raise errors.missing_model()
    model = catalogue.MODELS.get(name)
    if model is None:
        raise errors.unknown_model(name)
    return model


def _as_base64(value: Any, dialect: dialects.Dialect) -> bool:
    if value == "base64" and dialect.base64 is dialects.Treatment.REFUSED:
        raise dialect.no_base64()
    if dialect.base64 is dialects.Treatment.IGNORED:
        return False
    if value not in (None, "float", "base64"):
        raise errors.unknown_format(value)
    return bool(value == "base64")


def _dimensions(value: Any, model: catalogue.Model, dialect: dialects.Dialect) -> int:
    if value is None or dialect.dimensions is dialects.Treatment.IGNORED:
        return model.dimensions
    if dialect.dimensions is dialects.Treatment.REFUSED:
        raise dialect.no_dimensions()
    if not model.may_be_shortened:
        raise errors.dimensions_unsupported()
    if type(value) is not int:
        raise errors.dimensions_not_an_integer(value)
    if value < 1:
        raise errors.dimensions_too_small(value)
    if value > model.dimensions:
        raise errors.dimensions_too_large(value, model.dimensions)
    return value


def _inputs(value: Any, dialect: dialects.Dialect) -> tuple[list[str], list[int] | None]:
    """Return the texts and, where the client sent tokens, how many each has (None: nobody has counted yet)."""
    if isinstance(value, str) and value:
        return [value], None
    if not isinstance(value, list) or not value:
        raise errors.invalid_input()
    kinds = set(map(type, value))
    if kinds == {int}:
        return _decoded([value], is_array=False)
    if dialect.most_inputs and len(value) > dialect.most_inputs:
        raise dialect.too_many(count=len(value), most=dialect.most_inputs)
    if kinds == {str} and "" not in value:
        return value, None
    if kinds == {list} and all(set(map(type, item)) == {int} for item in value):
        return _decoded(value, is_array=True)
    raise errors.invalid_input()


def _decoded(inputs: Sequence[list[int]], *, is_array: bool) -> tuple[list[str], list[int]]:
    counts = list(map(len, inputs))
    for position, length in enumerate(counts):
        if length > MOST_TOKENS_PER_INPUT:
            raise errors.input_too_long(position if is_array else None, MOST_TOKENS_PER_INPUT)
    try:
        return [tokens.decode(item) for item in inputs], counts
    except ValueError:
        raise errors.invalid_input() from None


def _count(texts: list[str], counting: Counting, dialect: dialects.Dialect, *, is_array: bool) -> list[int]:
    """Return the tokens of each text; a token has at least one byte, so short texts cannot break a limit."""
    sizes = [len(text.encode()) for text in texts]
    for position, size in enumerate(sizes):
        # Surely too long: said without counting, which is slow for a text of many megabytes.
        if size > MOST_TOKENS_PER_INPUT * tokens.LONGEST_TOKEN_BYTES:
            raise errors.input_too_long(position if is_array else None, MOST_TOKENS_PER_INPUT)
    counts = tokens.count(texts) if counting is Counting.EXACT else _estimate(texts, sizes)
    for position, count in enumerate(counts):
        if count > dialect.most_tokens:
            if dialect.too_long:
                raise dialect.too_long(count=count, most=dialect.most_tokens)
            raise errors.input_too_long(position if is_array else None, MOST_TOKENS_PER_INPUT)
    return counts


def _estimate(texts: list[str], sizes: list[int]) -> list[int]:
    """Return the tokens of each text, exact where an input's or the request's limit may be near."""
    counts = [max(1, size // _BYTES_PER_TOKEN) for size in sizes]
    most = sum(sizes) // _LEAST_BYTES_PER_TOKEN
    for position in sorted(range(len(texts)), key=sizes.__getitem__, reverse=True):
        if most <= MOST_TOKENS_PER_REQUEST and sizes[position] <= MOST_TOKENS_PER_INPUT:
            break
        counts[position] = tokens.count([texts[position]])[0]
        most += counts[position] - sizes[position] // _LEAST_BYTES_PER_TOKEN
    return counts

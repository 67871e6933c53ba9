"""Packing: which texts make the next request. Pure; order is kept, no limit is passed, no request is empty.

Pending batches (one a chunk) stand in a queue, first come first served; a request takes texts from the front and may
end in the middle of a batch, so that every request but the last is as full as the provider allows.
"""

import dataclasses
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

# https://platform.openai.com/docs/api-reference/embeddings/create
REQUEST_INPUTS = 2_048
REQUEST_TOKENS = 300_000
# A bulk request holds at most this much of the token limit, so that a search never waits longer for its turn.
REQUEST_SECONDS = 2.0


class Batch(Protocol):
    """Texts to buy for one chunk."""

    # Tokens of each text, exact or an upper bound.
    tokens: list[int]
    # The first text that no request holds yet.
    cursor: int


BatchT = TypeVar("BatchT", bound=Batch)


@dataclasses.dataclass(frozen=True)
class Slice(Generic[BatchT]):
    """Texts start..stop-1 of a batch."""

    batch: BatchT
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class RequestSize:
    """What one request may hold."""

    inputs: int = REQUEST_INPUTS
    tokens: int = REQUEST_TOKENS


def under_rate(size: RequestSize, tokens_per_second: float) -> RequestSize:
    """The size, tightened so that one request is at most two seconds of the token rate; 0: there is none."""
    if tokens_per_second <= 0:
        return size
    return RequestSize(size.inputs, max(1, min(size.tokens, int(tokens_per_second * REQUEST_SECONDS))))


def pack(batches: Iterable[BatchT], size: RequestSize) -> tuple[list[Slice[BatchT]], int]:
    """The slices of the next request and its tokens; nothing is moved. Empty only when no text waits.

    A single text over the token limit still goes, alone: the provider's answer decides about it.
    """
    slices: list[Slice[BatchT]] = []
    inputs_left, tokens_left = size.inputs, size.tokens
    for batch in batches:
        stop = batch.cursor
        while stop < len(batch.tokens) and inputs_left:
            cost = batch.tokens[stop]
            if cost > tokens_left and inputs_left < size.inputs:
                break
            inputs_left -= 1
            tokens_left -= cost
            stop += 1
        if stop > batch.cursor:
            slices.append(Slice(batch, batch.cursor, stop))
        if not inputs_left or stop < len(batch.tokens) or tokens_left <= 0:
            break
    return slices, size.tokens - tokens_left

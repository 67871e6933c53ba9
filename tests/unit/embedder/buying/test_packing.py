"""Packing: no limit is passed, no request is empty, order is kept, every text goes exactly once."""

import dataclasses
import itertools

import hypothesis
from hypothesis import strategies as st

from services.embedder.buying import packing


@dataclasses.dataclass
class Waiting:
    tokens: list[int]
    cursor: int = 0


batches = st.lists(st.lists(st.integers(0, 12), max_size=30), max_size=8)
sizes = st.builds(packing.RequestSize, inputs=st.integers(1, 12), tokens=st.integers(1, 30))


@hypothesis.given(batches, sizes)
def test_successive_requests_take_every_text_once_in_order(given: list[list[int]], size: packing.RequestSize) -> None:
    line = [Waiting(tokens) for tokens in given]
    taken: list[tuple[int, int]] = []
    while any(batch.cursor < len(batch.tokens) for batch in line):
        slices, cost = packing.pack(line, size)
        assert slices, "a request is never empty while texts wait"
        costs = [each.batch.tokens[index] for each in slices for index in range(each.start, each.stop)]
        assert cost == sum(costs)
        assert 1 <= len(costs) <= size.inputs
        assert cost <= size.tokens or len(costs) == 1, "only a single text may be over the limit"
        for each in slices:
            assert each.batch.cursor == each.start < each.stop
            number = next(n for n, batch in enumerate(line) if batch is each.batch)
            taken += [(number, index) for index in range(each.start, each.stop)]
            each.batch.cursor = each.stop
    assert packing.pack(line, size) == ([], 0)
    assert taken == [(number, index) for number, tokens in enumerate(given) for index in range(len(tokens))]


@hypothesis.given(batches, sizes)
def test_a_request_ends_only_where_the_next_text_does_not_fit(
    given: list[list[int]], size: packing.RequestSize
) -> None:
    line = [Waiting(tokens) for tokens in given]
    slices, cost = packing.pack(line, size)
    flat = list(itertools.chain.from_iterable(given))
    count = sum(each.stop - each.start for each in slices)
    if count < len(flat) and cost < size.tokens:
        assert count == size.inputs or cost + flat[count] > size.tokens


def test_a_text_over_the_limit_goes_alone() -> None:
    line = [Waiting([5, 100, 5])]
    sizes = []
    while line[0].cursor < 3:
        slices, cost = packing.pack(line, packing.RequestSize(inputs=10, tokens=20))
        line[0].cursor = slices[-1].stop
        sizes.append(cost)
    assert sizes == [5, 100, 5]


def test_bulk_is_at_most_two_seconds_of_the_token_limit() -> None:
    size = packing.RequestSize(2_048, 300_000)
    assert packing.under_rate(size, 0) == size
    assert packing.under_rate(size, 1e6 / 60).tokens == 33_333
    assert packing.under_rate(size, 1e9 / 60).tokens == 300_000
    assert packing.under_rate(size, 1 / 60).tokens == 1

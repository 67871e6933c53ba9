"""Repeated ids are found in memory that depends on neither the number of rows nor how ids are spread."""

import itertools
import pathlib
import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.planning import duplicates

MIB = 1 << 20
ROWS = 2_000_000


def filled(folder: pathlib.Path, rows: int, name: Callable[[int], str], step: int = 100_000) -> duplicates.Finder:
    finder = duplicates.Finder(folder)
    for first in range(1, rows + 1, step):
        numbers = range(first, min(first + step, rows + 1))
        finder.add([name(number) for number in numbers], numbers)
    return finder


@pytest.mark.parametrize("values", [1, 31])
def test_a_column_of_few_values_is_no_matter_of_memory(tmp_path: pathlib.Path, values: int) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    finder, sidecar = filled(folder, ROWS, lambda number: str(number % values)), tmp_path / "sidecar"
    tracemalloc.start()
    try:
        assert finder.write(sidecar, ROWS) == ROWS - values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 * MIB
    pairs = np.fromfile(sidecar, dtype="<u8").reshape(-1, 2)
    rows = pairs[:, 0]
    assert (np.diff(rows.astype(np.int64)) == 1).all()
    assert (pairs[:, 1] % values == rows % values).all()
    assert pairs[:, 1].max() <= values


def test_the_split_holds_a_piece_of_a_shard_with_millions_of_pairs() -> None:
    count = ROWS
    pairs = np.empty((count, 2), dtype="<u8")
    pairs[:, 0], pairs[:, 1] = np.arange(2, count + 2), 1
    data, read = pairs.tobytes(), list[int]()

    def slices(start: int, length: int) -> bytes:
        read.append(length)
        return data[start : start + length]

    tracemalloc.start()
    try:
        firsts = duplicates.Firsts(slices, 0, count)
        assert len(firsts.between(1, 5_001)) == 4_999
        assert firsts.between(1_900_000, 1_900_003) == dict.fromkeys(range(1_900_000, 1_900_003), 1)
        assert firsts.between(3_000_000, 3_000_001) == {}
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert sum(read) < 2 * MIB


@settings(deadline=None, max_examples=60)
@given(
    rows=st.sets(st.integers(1, 300)),
    cuts=st.sets(st.integers(1, 320)),
    before=st.integers(0, 3),
    piece=st.sampled_from([1, 2, 7, 1_000]),
    left_out=st.integers(1, 4),
)
def test_ranges_in_order_have_their_pairs(
    rows: set[int], cuts: set[int], before: int, piece: int, left_out: int
) -> None:
    ordered = sorted(rows)
    data = np.array([(0, 0)] * before + [(row, row * 7) for row in ordered], dtype="<u8").tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_PIECE_PAIRS", piece)
        firsts = duplicates.Firsts(lambda start, count: data[start : start + count], before, len(ordered))
        edges = sorted(cuts)
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            if number % left_out == 0:
                assert firsts.between(start, end) == {row: row * 7 for row in ordered if start <= row < end}


def test_slices_of_a_partition_find_what_one_sort_finds(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(5)
    ids = [str(min(rng.randrange(1, 4_000), rng.randrange(1, 4_000))) for _ in range(9_000)]
    first: dict[str, int] = {}
    expected = {row: first[name] for row, name in enumerate(ids, start=1) if first.setdefault(name, row) != row}
    monkeypatch.setattr(duplicates, "_HELD_IDS", 500)
    monkeypatch.setattr(duplicates, "_SLICE_RECORDS", 16)
    folder = tmp_path / "parts"
    folder.mkdir()
    finder = filled(folder, len(ids), lambda number: ids[number - 1], step=170)
    finder.write(tmp_path / "sidecar", len(ids))
    assert duplicates.read((tmp_path / "sidecar").read_bytes()) == expected

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.contract import column_types, number_forms
from tests.unit.ingest import support

HEAD = "id,formatted_text,v\n"


def load(cells: list[str], **chosen: Any) -> support.Loaded:
    rows = "".join('r{},text,"{}"\n'.format(number, cell.replace('"', '""')) for number, cell in enumerate(cells))
    return support.load(HEAD + rows, **chosen)


def values(cells: list[str], **chosen: Any) -> list[object]:
    return [made.get("v") for made in load(cells, **chosen).metadata()]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # The shortest form, of whole numbers and others.
        (["12", "30.5", "-7"], [12.0, 30.5, -7.0]),
        (["0", "0.5", "-0.25"], [0.0, 0.5, -0.25]),
        (["9007199254740991"], [9007199254740991.0]),
        (["0.00001", "3"], [0.00001, 3.0]),
        # As Python writes floats.
        (["12.0", "30.5", "7.25"], [12.0, 30.5, 7.25]),
        (["1e-05", "0.5", "1.5e+16"], [1e-05, 0.5, 1.5e16]),
        (["0.1", "0.30000000000000004"], [0.1, 0.30000000000000004]),
        (["1.7976931348623157e+308", "5e-324"], [1.7976931348623157e308, 5e-324]),
        # Always so many places.
        (["12.00", "9.50", "-0.05"], [12.0, 9.5, -0.05]),
        (["1.1000", "2.0000"], [1.1, 2.0]),
        # Blanks around numbers, and cells without any.
        ([" 12", "7 ", "\t3"], [12.0, 7.0, 3.0]),
        (["5", " ", "", "\u00a07"], [5.0, None, None, 7.0]),
        (["\x1f5", "7"], [5.0, 7.0]),
        (["true", "TRUE ", " False", ""], [True, True, False, None]),
    ],
)
def test_a_column_whose_cells_are_written_back_is_typed(cells: list[str], expected: list[object]) -> None:
    made = values(cells)
    assert [(type(value), value) for value in made] == [(type(value), value) for value in expected]


@pytest.mark.parametrize(
    "cells",
    [
        ["1.1", "1.10"], ["1.10", "1.9", "1.11"], ["12", "9.50"], ["2.0", "3"], ["1.0", "1.00"],
        ["12E5", "120E4"], ["1e3"], ["1E-05"], ["1e5", "1.0"], ["1.50e-07", "0.1"], ["1e-4", "0.1"],
        ["00123", "5"], ["01.5"], ["+1", "1"], ["-0", "0"], ["1_000"], ["1,000.0"], ["1.000.000"], ["12,5"], ["0x10"],
        [".5"], ["5."], ["--5"], ["5-"], ["1 000"], ["1\u00a0000"], ["\u0663"], ["12\u20ac"], ["5%"],
        ["9007199254740992"], ["-9007199254740993"], ["9007199254740993.0"], ["0.1000000000000000055"],
        ["0.10000000000000000001", "2.5"], ["9" * 400, "1"], ["1." + "0" * 400], ["1e309"], ["1e-400"],
        ["nan"], ["inf", "1"], ["Infinity"], ["true", "yes"], ["true", "1"], ["1", "n/a"], ["12:30", "2031-01-01"],
        ["1\x1f2", "3"], ["5", "\x00"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("backwards", [False, True])
def test_a_column_with_a_cell_that_no_number_writes_back_is_text(cells: list[str], backwards: bool) -> None:
    cells = cells[::-1] if backwards else cells
    assert values(cells) == cells


@pytest.mark.parametrize("empty", ["", "  "])
def test_a_column_without_a_value_is_text(empty: str) -> None:
    assert load([empty, empty]).plan.types[2] == column_types.STRING


@pytest.mark.parametrize("number", ["5", "0.5", "1e+20"])
@pytest.mark.parametrize("blanks", [" " * 16, " " * 400, "\t" * 400])
def test_a_block_of_nothing_but_blanks_leaves_the_type(number: str, blanks: str) -> None:
    types = column_types.Types(1, empty=column_types.nulls.Nulls(()))
    types.add([(number,)], [1])
    types.add([(blanks,), ("",)], [2, 3])
    alone = column_types.Types(1, empty=column_types.nulls.Nulls(()))
    alone.add([(number,)], [1])
    assert types.result() == alone.result() != [column_types.STRING]


def warned(loaded: support.Loaded) -> list[tuple[str, int]]:
    assert {each.code for each in loaded.plan.warnings} <= {"column_is_text"}
    return [(each.column, each.row) for each in loaded.plan.warnings]


def test_what_makes_a_column_of_numbers_text_is_said() -> None:
    loaded = load([str(number) for number in range(16)] + ["n/a", "18", "n/a"])
    assert warned(loaded) == [("v", 17)]
    assert "'n/a' in row 17, which is no number" in loaded.plan.warnings[0].message
    assert "null_values" in loaded.plan.warnings[0].message
    assert warned(load(["5", "-", "7"])) == [("v", 2)]
    other = load(["1.1", "1.10", "1.2"])
    assert warned(other) == [("v", 2)]
    assert "is not written like the numbers before it" in other.plan.warnings[0].message


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        (["1", "a"], {}),
        (["1", "2", "3", "a", "b"], {}),
        (["a", "b", "3"], {}),
        (["true", "false", "maybe"], {}),
        (["9007199254740993", "9007199254740995", "5"], {}),
        (["1", "n/a", "3"], {"exclude_columns": ("v",)}),
        (["1", "n/a", "3"], {"metadata": "legacy"}),
        (["1", "n/a", "3"], {"null_values": ("n/a",)}),
        (["1", "n/a", "3"], {"column_types": ("v:string",)}),
    ],
)
def test_nothing_is_said_of_columns_that_are_meant_as_text_or_that_nobody_keeps(
    cells: list[str], chosen: dict[str, Any]
) -> None:
    assert load(cells, **chosen).plan.warnings == ()


def test_a_cell_far_down_is_found_and_many_columns_are_summed_up() -> None:
    loaded = load([*map(str, range(2_500)), "NA", *map(str, range(99))])
    assert warned(loaded) == [("v", 2_501)]
    names = [f"c{number}" for number in range(50)]
    rows = "".join(f"{row},t," + ",".join(["x" if row == 5 else "1"] * 50) + "\n" for row in range(12))
    wide = support.load(f"id,formatted_text,{','.join(names)}\n{rows}")
    assert [each.column for each in wide.plan.warnings] == [*names[:20], ""]
    assert wide.plan.warnings[-1].count == 30


CELLS = st.one_of(
    st.floats().map(str),
    st.integers().map(str),
    st.integers(-10**18, 10**18).map(lambda number: f"{number / 10**6:.3f}"),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.sampled_from([
        "", " ", "true", "FALSE", "01", "1_0", "+1", "1.", ".5", "-0", " 1", "1 ", "1.0", "1.10", "1.1", "1e5", "1e-05",
        "Infinity", "\u0663", "1\x1f2", "NULL", "n/a", "0", "-1",
    ]),
)  # fmt: skip
COLUMNS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=8),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1, max_size=8),
    st.lists(st.integers(-99, 99).map(str) | st.sampled_from(["", "NULL"]), min_size=1, max_size=8),
    st.lists(st.decimals(-99, 99, places=2).map(str) | st.just(" "), min_size=1, max_size=8),
)


@settings(deadline=None)
@given(cells=COLUMNS, nulls=st.sampled_from([(), ("NULL", "-1"), ("0", "n/a")]))
def test_a_typed_value_is_finite_and_writes_its_cell_back(cells: list[str], nulls: tuple[str, ...]) -> None:
    loaded = load(cells, null_values=nulls)
    made = [row.get("v") for row in loaded.metadata()]
    bare = [cell.strip() for cell in cells]
    assert [value is None for value in made] == [cell in ("", *nulls) for cell in bare]
    numbers = {cell: value for cell, value in zip(bare, made, strict=True) if isinstance(value, float)}
    forms = [number_forms.of(cell) for cell in numbers]
    assert not forms or frozenset.intersection(*forms)
    # Different cells stay different numbers: none is lost by becoming one.
    assert len(set(numbers)) == len({(value, math.copysign(1, value)) for value in numbers.values()})
    for cell, raw, value in zip(bare, cells, made, strict=True):
        if isinstance(value, float):
            places = len(cell.partition(".")[2])
            assert math.isfinite(value)
            assert cell in {repr(value), f"{value:.{places}f}", f"{value:.0f}"}
        elif value is not None:
            assert value == raw or (isinstance(value, bool) and cell.lower() == str(value).lower())


@settings(deadline=None, max_examples=40)
@given(
    cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=40),
    nulls=st.sampled_from([(), ("NULL", "1.0"), ("0", "n/a")]),
    most=st.sampled_from([3, 10, 1_000]),
    seed=st.integers(0, 999),
)
def test_the_borders_of_blocks_say_nothing(
    cells: list[tuple[str, str]], nulls: tuple[str, ...], most: int, seed: int
) -> None:
    empty = column_types.nulls.Nulls(nulls)
    numbers = range(1, len(cells) + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_types, "_COUNTED_ROWS", most)
        whole = column_types.Types(2, empty=empty)
        whole.add(cells, numbers)
        pieces, rng, start = column_types.Types(2, empty=empty), random.Random(seed), 0
        while start < len(cells):
            end = start + rng.randrange(1, 6)
            pieces.add(cells[start:end], numbers[start:end])
            start = end
    assert pieces.result() == whole.result()
    assert pieces.spoiled() == whole.spoiled()

"""What is judged for many rows at once is what would be for each alone."""

import datetime
import random
from typing import Any

import pytest

from services.ingest.contract import columns, context, contract, metadata
from services.ingest.request import options

NAMES = ("id", "formatted_text", "created_at", "number", "true", "words", "more")
# By column; the first ones are those of most rows.
CELLS = (
    (" 7 ", "", " ", "NULL", "é", "a%b", '="008"', "x" * 520, "\t", "a\x1fb"),
    (
        "a text", "", "  ", "two  blanks", " begins", "ends ", "<b>bold</b>", "a &amp; b", "a & b", "naïve", "\x07bell",
        "a\nb", "a\x7fb", "NULL", '="formula"', '="a"&"b"', "\u200b", "x" * 3_000, "é" * 2_500, "<b> </b>", "\x1f",
        "word " * 9_000, "January 5", "2024-01-05",
    ),
    ("2025-01-05", "2025-06-01", "", "yesterday", "NULL"),
    ("1", "2.5", "", " 3 ", "1\x1f", "NULL"),
    ("true", "false", "", " TRUE "),
    ("a, b", "", "one", "NULL", ",", "é"),
    ("x", "", " ", "longer", "NULL", '="1"', "y" * 3_000, "é" * 9_000, "\x00", "{}"),
)  # fmt: skip
DECLARED = ("number:number", "true:boolean", "words:list(,)", "created_at:timestamp")
JANUARY = {"start_date": datetime.date(2025, 1, 1), "end_date": datetime.date(2025, 1, 31)}


def rows(seed: int, count: int, oddity: float) -> list[list[str]]:
    """Rows with ids of their own, of which some cells are odd."""
    choose = random.Random(seed)
    found = []
    for number in range(count):
        cells = [choose.choice(column) if choose.random() < oddity else column[0] for column in CELLS]
        cells[0] = cells[0] if choose.random() < oddity else f"{number}"
        cells[1] = cells[1] if choose.random() < oddity else f"a text of row {number}"
        found.append(cells)
    return found


def judged(seed: int, oddity: float, **chosen: Any) -> tuple[contract.Plain, list[contract.Outcome]]:
    """The same rows together, and one by one."""
    picked = options.Options(**{"data_source": "upload", "question_id": 7, "upload_id": "u", **chosen})
    every = rows(seed, 60, oddity)
    found = columns.Columns(NAMES, picked)
    found.add(every, range(1, len(every) + 1))
    judge = contract.Contract(NAMES, found.so_far().assumed, picked)
    common = judge.common(context.Context("task", picked, "upload", "things.csv", "2026-01-02T03:04:05Z"), 3)
    return judge.plain(every, len(every), common), [
        judge.judge(cells, "", 0, place, common) for place, cells in enumerate(every)
    ]


@pytest.mark.parametrize("oddity", [0.0, 0.02, 0.3])
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"null_values": ("NULL",)},
        {"sanitizer": "legacy", "metadata": "legacy"},
        {"sanitizer": "legacy", "metadata": "legacy", "null_values": ("NULL",)},
        {"sanitizer": "none", "store_text": "none"},
        {"on_bad_id": "escape", "text_template": "{words}: {formatted_text}."},
        {"column_types": DECLARED, "time_zone": "Europe/Berlin", "on_long_text": "truncate"},
        {"column_types": DECLARED, "null_values": ("NULL",), "exclude_columns": ("more",)},
        JANUARY,
        {"metadata_columns": ("more",), **JANUARY, "null_values": ("NULL",)},
    ],
)
def test_rows_judged_together_are_those_that_are_usable_alone(oddity: float, chosen: dict[str, Any]) -> None:
    for seed in range(10):
        together, alone = judged(seed, oddity, **chosen)
        assert list(together.places) == sorted(set(together.places))
        for place, vector_id, text, lasting in zip(*together, strict=True):
            row = alone[place]
            assert isinstance(row, contract.Usable)
            told = (row.vector_id.encode(), row.text.encode(), metadata.lasting(row.metadata))
            assert (vector_id, text, lasting) == told
            assert not row.text_cut
        left = [each for place, each in enumerate(alone) if place not in set(together.places)]
        # Those that only look at their limits closely: they are few.
        assert all(
            not isinstance(each, contract.Usable) or len(each.text) > 2_000 or len(each.metadata) > 4_000
            for each in left
        )
        assert oddity or not left


def test_a_row_over_which_the_code_falls_is_left_to_be_judged_alone() -> None:
    picked = options.Options(data_source="upload", question_id=7, upload_id="u")
    judge = contract.Contract(NAMES, ("string",) * len(NAMES), picked)
    common = judge.common(context.Context("task", picked, "upload", "things.csv", "2026-01-02T03:04:05Z"), 0)
    every = rows(0, 3, 0.0)
    every[1][1] = "half of a pair: \ud83d"
    assert not judge.plain(every, 3, common).places

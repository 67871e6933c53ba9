"""The file of rejects: the caller's own columns stay theirs, and what was mended can be loaded again."""

import csv
import io
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.reading import exported, reader
from services.ingest.rejects import export
from tests.unit.ingest import support


def line(cells: list[str], number: int = 2, at: int = 0, reason: str = "empty_text") -> export.Line:
    return export.Line(number, at, reason, "The row has no text.", cells)


def table(columns: list[str], *lines: export.Line, delimiter: str = ",") -> list[dict[str, Any]]:
    out = export.Export("csv", columns, delimiter)
    for each in lines:
        out.add(each)
    return list(csv.DictReader(io.StringIO(out.take().decode(), newline="")))


def objects(columns: list[str], *lines: export.Line) -> list[dict[str, Any]]:
    out = export.Export("jsonl", columns)
    for each in lines:
        out.add(each)
    return [orjson.loads(each) for each in out.take().splitlines()]


OURS = ["id", "message", "reason", "row_number", "line_number", "line_text", "csv_message"]


def test_columns_with_our_names_are_kept_apart() -> None:
    row = line(["1", "refund please", "theirs", "9", "8", "text", "other"], at=4)
    kept = {
        "id": "1",
        "csv_csv_message": "refund please",
        "csv_reason": "theirs",
        "csv_row_number": "9",
        "csv_line_number": "8",
        "csv_line_text": "text",
        "csv_message": "other",
    }
    ours = {"reason": "empty_text", "message": "The row has no text."}
    assert table(OURS, row) == [{**kept, "row_number": "2", "line_number": "4", "line_text": "", **ours}]
    assert objects(OURS, row) == [{**kept, "row_number": 2, "line_number": 4, **ours}]


def test_keys_that_are_only_metadatas_keep_their_names() -> None:
    assert list(table(["text", "$ref", "id"], line(["a", "b", "c"]))[0])[:3] == ["text", "$ref", "id"]


@pytest.mark.parametrize(
    "cell",
    [
        "-7.5",
        "+41000001",
        "+41 79 123-45-67",
        "-1,234.50",
        "- 5",
        "-.5",
        "+1.5e-7",
        "-2E10",
        "-12%",
        "+1 (555) 010-9999",
        "-3/4",
        "00123",
        "3-4",
        "a=b",
        " =1",
        "",
    ],
)
def test_what_no_spreadsheet_runs_is_as_it_was(cell: str) -> None:
    assert table(["id"], line([cell]))[0]["id"] == cell


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
        "-1+cmd|' /C calc'!A0",
        "-2+3+HYPERLINK(1)",
        "@SUM(1)",
        "+A1",
        "-",
        "+",
        "-e5",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        "-\u0661",
        "-" + "1" * 70_000 + "x",
    ],
)
def test_what_a_spreadsheet_might_run_is_not_run(cell: str) -> None:
    assert table(["id"], line([cell]))[0]["id"] == f"'{cell}"
    assert objects(["id"], line([cell]))[0]["id"] == cell


@given(st.text("+-.,()/0123456789 eE%=@ax!|", max_size=12))
def test_only_numbers_are_left_with_a_sign(cell: str) -> None:
    written = table(["id"], line([cell]))[0]["id"]
    if written == cell and cell.startswith(("+", "-", "=", "@")):
        assert any(character.isdigit() for character in cell)
        assert not set(cell.rstrip("%").replace("e", "E", 1).replace("E", "", 1)) & set("eEax!|=@%")


def test_a_line_that_could_not_be_parsed_is_shown_as_it_stands() -> None:
    raw = '7,"He said \\"hi\\", then left",3'
    row = line([raw], reason=reader.BAD_QUOTING)
    assert table(["id", "text", "n"], row) == [
        {
            "id": "",
            "text": "",
            "n": "",
            "row_number": "2",
            "line_number": "",
            "reason": "bad_quoting",
            "message": "The row has no text.",
            "line_text": raw,
        }
    ]
    assert objects(["id", "text", "n"], row) == [
        {"row_number": 2, "reason": "bad_quoting", "message": "The row has no text.", "line_text": raw}
    ]


def test_surplus_cells_stand_in_the_line_in_the_files_own_delimiter() -> None:
    row = line(["1", "a;b", "c", "d"], reason="ragged_row")
    found = table(["id", "text"], row, delimiter=";")[0]
    assert (found["id"], found["text"], found["line_text"]) == ("1", "a;b", '1;"a;b";c;d')
    assert found["message"] == "The row has no text."


def test_a_short_row_is_filled_up() -> None:
    assert table(["id", "text", "n"], line(["1"]))[0]["n"] == ""


def test_what_was_mended_is_loaded_as_if_it_had_been_right() -> None:
    header, good = "id,formatted_text,message,price,phone", 'refund, "please",-7.5,+41 79 123-45-67'
    bad = support.load(f'{header}\n-7,,"refund, ""please""",-7.5,+41 79 123-45-67\n'.encode())
    assert bad.reasons() == {1: "empty_text"}
    reject = bad.rejects()[0]
    out = export.Export("csv", bad.plan.columns)
    out.add(export.Line(1, 2, reject.reason, reject.message, list(reject.cells)))
    rows = list(csv.reader(io.StringIO(out.take().decode(), newline="")))
    rows[1][rows[0].index("formatted_text")] = "mended"
    written = io.StringIO()
    csv.writer(written).writerows(rows)

    again = support.load(written.getvalue(), exclude_columns=exported.COLUMNS)
    whole = support.load(f'{header}\n-7,mended,"refund, ""please""",-7.5,+41 79 123-45-67\n'.encode())
    assert again.rows()[0].vector_id == whole.rows()[0].vector_id == "7.-7"
    found, wanted = again.metadata()[0], whole.metadata()[0]
    assert found.pop("csv_message") == wanted.pop("message") == good.partition(",-7.5")[0].replace('"', '"')
    assert found == wanted


# Blanks around ids are no part of them.
CELL = st.text("+-=@'5a %\t\n\uff1d", max_size=6)


@given(cells=st.lists(CELL, min_size=1, max_size=5))
def test_a_cell_comes_back_as_it_was(cells: list[str]) -> None:
    out = export.Export("csv", ["id", "formatted_text", "v"])
    for number, cell in enumerate(cells):
        out.add(line([f"{number}{cell}", "mended", cell]))
        out.add(line([cell, "mended", "x"]))
    again = support.load(out.take(), quoting="csv", exclude_columns=exported.COLUMNS)
    found = [(row.cells[0], row.cells[2]) for row in again.rebuilt(1, 2 * len(cells))]
    wanted = [pair for number, cell in enumerate(cells) for pair in ((f"{number}{cell}", cell), (cell, "x"))]
    assert found == wanted


@pytest.mark.parametrize("row_id", ["@anna", "-x7", "=a", "'@b", "''=c", "+49 17", "'d"])
def test_an_id_that_was_escaped_is_the_same_id_again(row_id: str) -> None:
    bad = support.load(f"id,formatted_text\n{row_id},\n")
    out = export.Export("csv", bad.plan.columns)
    out.add(export.Line(1, 2, "empty_text", "", list(bad.rejects()[0].cells)))
    again = support.load(out.take().replace(b",,", b",mended,", 1), exclude_columns=exported.COLUMNS)
    assert [row.vector_id for row in again.rows()] == [f"7.{row_id}"]
    assert support.load(f"id,formatted_text\n{row_id},a\n").rows()[0].vector_id == f"7.{row_id}"

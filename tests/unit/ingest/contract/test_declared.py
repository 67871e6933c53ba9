from typing import Any

import pytest

from services.ingest import failures
from tests.unit.ingest import support


def load(kind: str, cells: list[str], **chosen: Any) -> support.Loaded:
    rows = "".join(f'r{number},text,"{cell}"\n' for number, cell in enumerate(cells))
    return support.load(f"id,formatted_text,v\n{rows}", column_types=(f"v:{kind}",), **chosen)


def value(kind: str, cell: str, **chosen: Any) -> object:
    made = load(kind, [cell, ""], **chosen).metadata()[0].get("v")
    return made if made is None or isinstance(made, (str, float, bool)) else list(made)


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("string", "12", "12"),
        ("string", " true ", " true "),
        ("number", "+5", 5.0),
        ("number", "1e3", 1000.0),
        ("number", " 007 ", 7.0),
        ("number", ".5", 0.5),
        ("number", "9.50", 9.5),
        ("number", "-0", 0.0),
        ("number", "0.1000000000000000055", 0.1),
        ("number", "9007199254740992", 2.0**53),
        ("boolean", " TRUE", True),
        ("boolean", "false", False),
        ("list(|)", "red | wood||", ["red", "wood"]),
        ("list(|)", "red", ["red"]),
        ("list(|)", " | ", None),
        ("list(, )", "a, b", ["a", "b"]),
        ("list(:)", "a:b", ["a", "b"]),
        ("timestamp", "2031-05-09", 1936051200.0),
        ("timestamp", "2031-05-09T02:00:00+02:00", 1936051200.0),
        ("timestamp", "9 May 2031 00:00:00.5", 1936051200.5),
        ("timestamp", "31/12/1969", -86400.0),
    ],
)
def test_a_declared_type_wins(kind: str, cell: str, expected: object) -> None:
    made = value(kind, cell)
    assert (type(made), made) == (type(expected), expected)
    assert load(kind, [cell]).plan.types[2] == kind


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("number", "n/a"), ("number", "12,5"), ("number", "1,000"), ("number", "1 000"), ("number", "$5"),
        ("number", "5%"), ("number", "nan"), ("number", "inf"), ("number", "1e999"), ("number", "0x10"),
        ("number", "1_000"), ("number", "9007199254740993"), ("number", "\u0663"), ("number", "9" * 5_000),
        ("boolean", "yes"), ("boolean", "1"), ("timestamp", "soon"), ("timestamp", "1712102400"),
        ("timestamp", "2031-02-30"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_one_rejects_its_row_alone(kind: str, cell: str) -> None:
    loaded = load(kind, [cell, ""])
    assert loaded.reasons() == {1: "bad_value"}
    message = loaded.rejects()[0].message
    assert "Column 'v' has " in message
    assert cell[:40] in message
    assert "null_values" in message
    assert len(message) < 400
    assert [row.row_number for row in loaded.rows()] == [2]


def test_cells_without_a_value_are_of_every_type() -> None:
    for kind in ("string", "number", "boolean", "timestamp", "list(|)"):
        assert all("v" not in made for made in load(kind, ["", "  ", "NULL"], null_values=("NULL",)).metadata())


def test_timestamps_are_of_the_zone_and_in_the_order_that_is_asked_for_or_proved() -> None:
    assert value("timestamp", "2031-05-09 02:00", time_zone="Europe/Rome") == 1936051200.0
    assert value("timestamp", "05/09/2031", date_order="mdy") == 1936051200.0
    proved = load("timestamp", ["09/05/2031", "31/12/2031"])
    assert proved.metadata()[0]["v"] == 1936051200.0
    assert [(each.code, each.row) for each in proved.plan.warnings] == [("date_order_inferred", 2)]
    assert load("timestamp", ["05/05/2031"]).metadata()[0]["v"] == 1935705600.0
    with pytest.raises(failures.FileFailure, match=r"DATE_ORDER_UNCLEAR.*'v'.*'09/05/2031' in row 1"):
        load("timestamp", ["09/05/2031", "05/05/2031"])
    with pytest.raises(failures.FileFailure, match="row 2 has '31/12/2031' and row 3 has '12/31/2031'"):
        load("timestamp", ["09/05/2031", "31/12/2031", "12/31/2031"])
    assert load("timestamp", ["31/12/2031"], date_order="mdy").reasons() == {1: "bad_value"}
    left_out = load("timestamp", ["09/05/2031"], exclude_columns=("v",))
    assert "v" not in left_out.metadata()[0]


def test_a_declared_column_that_is_not_there_fails_the_task() -> None:
    with pytest.raises(failures.FileFailure, match="MISSING_COLUMN: The file has no column 'price'"):
        support.load("id,formatted_text\n1,a\n", column_types=("price:number",))


def test_legacy_metadata_know_no_types() -> None:
    loaded = load("number", ["n/a", "NULL"], metadata="legacy", null_values=("NULL",))
    assert [made["v"] for made in loaded.metadata()] == ["n/a", "NULL"]


def test_lists_count_towards_the_limit_of_metadata() -> None:
    fits = load("list(|)", ["|".join(["ten bytes."] * 3_000)])
    assert fits.reasons() == {}
    assert load("list(|)", ["|".join(["ten bytes."] * 3_200)]).reasons() == {1: "metadata_too_large"}

import re
import string
import urllib.parse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.pinecone import errors, limits
from services.ingest.contract import ids, nulls
from services.ingest.request import options
from services.runtime import index_names
from tests.unit.ingest import support

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# Mostly what people have, and what lies about the borders of ASCII and of printing.
CELL = st.one_of(
    ANY,
    st.text(string.printable + "\x00\x1f\x7f\x80\xa0é椅%", max_size=12),
    st.integers(505, 515).map(lambda size: "x" * size),
    st.integers(250, 260).map(lambda size: "é" * size),
)


def vector_ids(chosen: str = "reject") -> ids.VectorIds:
    return ids.VectorIds(options.Options("upload", 7, on_bad_id=chosen))


def taken_by_the_index(name: str) -> bool:
    try:
        limits.check_id(name)
    except errors.ApiError:
        return False
    return True


def namespace_taken_by_the_index(name: str) -> bool:
    try:
        limits.check_namespace(name)
    except errors.ApiError:
        return False
    return True


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@given(cell=CELL, on_bad_id=st.sampled_from(["reject", "escape"]))
@example(cell="x" * 510, on_bad_id="reject")
@example(cell="x" * 511, on_bad_id="reject")
def test_ingest_and_the_index_take_the_same_ids(cell: str, on_bad_id: str) -> None:
    """What ingest takes, the index takes; what ingest refuses, the index refuses too, or nobody could read it."""
    row_id = ids.of_cell(cell, nulls.Nulls())
    loaded = support.load(f"id,formatted_text\n{quoted(cell)},a\n".encode(), encoding="utf-8", on_bad_id=on_bad_id)
    if not row_id:
        assert set(loaded.reasons().values()) <= {"missing_id", "empty_id"}
        return
    written = vector_ids(on_bad_id).of(row_id)
    usable = [row.vector_id for row in loaded.rows()]
    assert usable == ([written] if taken_by_the_index(written) and written.isprintable() else [])
    if on_bad_id == "escape":
        assert set(loaded.reasons().values()) <= {"id_too_long"}
        assert urllib.parse.unquote(written, errors="strict") == f"7.{row_id}"
    for row, seen in zip(loaded.rows(), loaded.metadata(), strict=True):
        assert (row.vector_id, seen["row_id"]) == (written, row_id)


@given(name=CELL)
def test_a_namespace_is_taken_by_a_request_where_the_index_takes_it(name: str) -> None:
    good = not index_names.problem(name)
    assert good == (namespace_taken_by_the_index(name) and name.isprintable() and bool(name.strip()))


@given(first=CELL, second=CELL)
def test_two_ids_never_become_one(first: str, second: str) -> None:
    escape = vector_ids("escape")
    assert (escape.of(first) == escape.of(second)) == (first == second)
    assert re.fullmatch(r"7\.[ -~]*", escape.of(first))


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("stuhl-grün", "7.stuhl-gr%C3%BCn"),
        ("椅子-7", "7.%E6%A4%85%E5%AD%90-7"),
        ("lamp 1", "7.lamp 1"),
        ("100%", "7.100%"),
        ("5%ig", "7.5%ig"),
        ("100%25", "7.100%2525"),
        ("%fc%f", "7.%25fc%f"),
        ("%2é", "7.%2%C3%A9"),
        ("a\tb\x7fc", "7.a%09b%7Fc"),
        ("🪑", "7.%F0%9F%AA%91"),
        (" 7 ", "7.7"),
    ],
)
def test_what_the_index_refuses_is_percent_encoded(cell: str, written: str) -> None:
    loaded = support.load(f"id,formatted_text\n{cell},a\n", on_bad_id="escape")
    assert [row.vector_id for row in loaded.rows()] == [written]
    assert loaded.metadata()[0]["row_id"] == cell.strip()


def test_an_id_that_the_index_refuses_says_which_character_it_is() -> None:
    loaded = support.load("id,formatted_text\nstuhl-grün,a\nb\x07,a\nc,a\n")
    assert loaded.reasons() == {1: "bad_id", 2: "bad_id"}
    assert "'ü'" in loaded.rejects()[0].message
    assert "on_bad_id=escape" in loaded.rejects()[0].message
    assert r"'\x07'" in loaded.rejects()[1].message


@given(cells=st.lists(st.one_of(CELL, st.sampled_from(['="7"', ' ="7 " ', "NULL", " NULL", '="NULL"', "", " "]))))
def test_a_column_has_the_ids_of_its_cells(cells: list[str]) -> None:
    for empty in (nulls.Nulls(), nulls.Nulls(["NULL", "7"])):
        assert list(ids.of_cells(cells, empty)) == [ids.of_cell(cell, empty) for cell in cells]

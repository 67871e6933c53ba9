"""Tables as people have them: what stands above them, within them and behind them, and what becomes of it."""

import datetime
import gzip
from typing import Any

import pytest

from services.ingest import failures
from services.ingest.planning import plan
from services.ingest.reading import header
from tests.unit.ingest import support

# The file, the options, the texts by id, and what is not used: reasons by row.
TABLES: dict[str, tuple[str, dict[str, Any], dict[str, str], dict[int, str]]] = {
    "rows of blanks and delimiters": (
        'id,formatted_text,n\n1,a,1\n,,\n \t, ,\u00a0\n   \n,,,,\n"","",""\n2,b,2\n',
        {},
        {"1": "a", "2": "b"},
        dict.fromkeys(range(2, 7), "blank_row"),
    ),
    "a row without an id that holds something": ("id,formatted_text\n,a\n1,b\n", {}, {"1": "b"}, {1: "missing_id"}),
    "an end mark of DOS on a line": ("id,formatted_text\r\n1,a\r\n\x1a\r\n", {}, {"1": "a"}, {}),
    "an end mark of DOS behind the last row": ("id,formatted_text\n1,a\x1a", {}, {"1": "a"}, {}),
    "NULs behind the last row": ("id,formatted_text\n1,a\n2,b" + "\0" * 9_000, {}, {"1": "a", "2": "b"}, {}),
    "an end mark where files were put together": (
        "id,formatted_text\n1,a\n\x1a\nid,formatted_text\n2,b\n\x1a",
        {},
        {"1": "a", "2": "b"},
        {2: "repeated_header"},
    ),
    "a delimiter behind every row": ("id,formatted_text,n\n1,a,1,\n2,b,,\n", {}, {"1": "a", "2": "b"}, {}),
    "a delimiter behind every line": (
        "id,formatted_text,n,\n1,a,1,\n2,b,,\n3,c,5\n",
        {},
        dict(zip("123", "abc", strict=True)),
        {},
    ),
    "delimiters behind some rows": (
        "id,formatted_text\n1,a\n2,b,,,\n3,c, \n",
        {},
        dict(zip("123", "abc", strict=True)),
        {},
    ),
    "a surplus with content": ("id,formatted_text\n1,a\n2,b,,c\n", {}, {"1": "a"}, {2: "ragged_row"}),
    "delimiters behind rows, and one with content": (
        "id,formatted_text,n\n1,a,1,\n2,b,2,c\n3,c,,\n",
        {},
        {"1": "a", "3": "c"},
        {2: "ragged_row"},
    ),
    "a surplus that may be a cell cut in two": (
        "id,formatted_text,n\n" + "".join(f"{n},a,\n" for n in range(1, 9)) + "9,b, c,\n",
        {},
        {str(n): "a" for n in range(1, 9)},
        {9: "ragged_row"},
    ),
    "delimiters behind some rows, where the last column is sometimes empty": (
        "id,formatted_text,n,colour\n1,a,12,\n2,b,30,blue,\n3,c,5,red\n4,d,7,,\n5,e,,,\n6,f,8,green\n7,g,9,\n",
        {},
        dict(zip("123467", "abcdfg", strict=True)),
        {5: "ragged_row"},
    ),
    "cells cut in rows that end with an empty one": (
        "id,formatted_text,n,colour\n1,a,12,\n2,b,c,30,\n3,d,9,50,\n4,e,,blue,\n5,f,5,red\n6,g,6,red\n7,h,8,\n",
        {},
        dict(zip("1567", "afgh", strict=True)),
        dict.fromkeys((2, 3, 4), "ragged_row"),
    ),
    "a delimiter behind a row of a file of short ones": (
        "id,formatted_text,n,colour\n1,a,12,red,\n2,b\n3,c,55,blue,d\n",
        {"on_ragged": "pad"},
        {"1": "a", "2": "b"},
        {3: "ragged_row"},
    ),
    "short rows": ("id,formatted_text,n\n1,a\n2,b,1\n", {}, {"2": "b"}, {1: "ragged_row"}),
    "short rows, filled up": (
        "id,formatted_text,n\n1,a\n2,b,1\n3\n",
        {"on_ragged": "pad"},
        {"1": "a", "2": "b"},
        {3: "empty_text"},
    ),
    "surplus cells with content, filled up": (
        "id,formatted_text\n1,a,x\n",
        {"on_ragged": "pad"},
        {},
        {1: "ragged_row"},
    ),
    "a line for Excel": ("sep=;\nid;formatted_text\n1;a, b\n", {}, {"1": "a, b"}, {}),
    "a line for Excel, quoted, behind a mark": (
        '\ufeff"sep=|"\r\nid|formatted_text\r\n1|a, b\r\n',
        {},
        {"1": "a, b"},
        {},
    ),
    "a line for Excel that names a tab": ("SEP=\\t\nid\tformatted_text\n1\ta, b\n", {}, {"1": "a, b"}, {}),
    "a line for Excel that names another character": ("sep=^\nid^formatted_text\n1^a, b\n", {}, {"1": "a, b"}, {}),
    "a line for Excel and lines to skip": (
        "sep=;\nReport\nid;formatted_text\n1;a\n",
        {"skip_lines": 2},
        {"1": "a"},
        {},
    ),
    "titles above": ('Report "May\nmade, on Monday\n,,\n\nid,formatted_text,n\n1,a,2\n', {}, {"1": "a"}, {}),
    "comments above": ("# made by x; do not edit\n# id\nid;formatted_text\n1;a\n", {}, {"1": "a"}, {}),
    "lines to skip": ("id,formatted_text\nid,formatted_text\n1,a\n", {"skip_lines": 1}, {"1": "a"}, {}),
    "no header": (
        "1,a\n2,b\n",
        {"header": "none", "id_column": "column_1", "text_column": "column_2"},
        {"1": "a", "2": "b"},
        {},
    ),
    "no header, lines to skip": (
        "x\n1;a;5\n2;b;6\n",
        {"header": "none", "skip_lines": 1, "id_column": "column_1", "text_column": "column_2"},
        {"1": "a", "2": "b"},
        {},
    ),
    "the header again, with its mark and blanks": (
        '\ufeffid,formatted_text\n1,a\n\ufeff"id", formatted_text \n2,b\n\ufeff3,c\n',
        {},
        dict(zip("123", "abc", strict=True)),
        {2: "repeated_header"},
    ),
    "a header of two lines that repeats itself": (
        "id,formatted_text\nid,formatted_text\n1,a\n",
        {},
        {"1": "a"},
        {1: "repeated_header"},
    ),
    "two marks": ("\ufeff\ufeffid,formatted_text\n1,a\n", {}, {"1": "a"}, {}),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("piece_bytes", [3, 1 << 20])
def test_a_table_is_read_as_it_is_meant(kind: str, piece_bytes: int) -> None:
    data, chosen, texts, unused = TABLES[kind]
    loaded = support.load(data, piece_bytes=piece_bytes, **chosen)
    assert {row.vector_id.removeprefix("7."): row.text for row in loaded.rows()} == texts
    again = loaded.rebuilt(1, loaded.plan.rows_total)
    assert {row.row_number: row.reason for row in again if row.reason} == unused
    skipped = {row.row_number for row in again if row.skipped}
    assert skipped == {row for row, reason in unused.items() if reason in ("blank_row", "repeated_header")}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_titles_and_marks_are_no_matter_of_the_encoding(encoding: str) -> None:
    data = "Größe des Lagers\r\n\r\nid;formatted_text\r\n1;Möbel\r\n;\r\n".encode(encoding)
    loaded = support.load(data, piece_bytes=7)
    assert [row.text for row in loaded.rows()] == ["Möbel"]
    assert loaded.plan.dialect.preamble_lines == 2


def test_what_was_found_is_said() -> None:
    data = "Report\nid,formatted_text,n,n,n\n1,a,1,2,3\n,,,,\n,,,,\nid,formatted_text,n,n,n\n2,b,1,2,3\n"
    said = {each.code: each for each in support.load(data).plan.warnings}
    assert set(said) == {"header_found", "duplicate_names", "blank_rows", "repeated_header"}
    assert "line 2" in said["header_found"].message
    assert (said["duplicate_names"].column, said["duplicate_names"].count) == ("n", 3)
    assert (said["blank_rows"].row, said["blank_rows"].count, "line 4" in said["blank_rows"].message) == (2, 2, True)
    assert (said["repeated_header"].row, said["repeated_header"].count) == (4, 1)
    assert support.load("id,formatted_text\n1,a\n").plan.warnings == ()


def test_a_header_that_is_repeated_takes_no_part_in_types_or_ids() -> None:
    loaded = support.load("id,formatted_text,n\n1,a,5\nid,formatted_text,n\n2,b,6\nid,formatted_text,n\n")
    assert loaded.plan.types[2] == "number"
    assert loaded.plan.duplicates_total == 0


def test_another_table_below_is_refused_with_its_line() -> None:
    with pytest.raises(failures.FileFailure, match=r"Line 4 .*another table") as caught:
        support.load("id,formatted_text,n\n1,a,5\n\nid,n,formatted_text\n2,6,b\n")
    assert caught.value.reason == "OTHER_HEADER"


@pytest.mark.parametrize(
    ("data", "chosen", "words"),
    [
        ("x,y\n\nid,formatted_text\n1,a\n", {"skip_lines": 0}, "Line 3 has 'id', 'formatted_text': .* skip_lines=2"),
        ("x,y\nid,text\n1,a\n", {}, "Line 2 has 'id', but not 'formatted_text'"),
        ("x,y\n1,a\n", {}, "it has 'x', 'y'. Set id_column"),
    ],
)
def test_missing_names_are_looked_for_elsewhere(data: str, chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(failures.FileFailure, match=words) as caught:
        support.load(data, **chosen)
    assert caught.value.reason == "MISSING_COLUMN"


def test_a_header_below_100_lines_is_not_found() -> None:
    with pytest.raises(failures.FileFailure, match="'title'"):
        support.load("title\n" * 100 + "id,formatted_text\n1,a\n")
    assert support.load("title\n" * 99 + "id,formatted_text\n1,a\n").rows()[0].text == "a"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece_bytes", [1, 5, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_rows_know_the_line_in_which_they_begin(
    ends: str, piece_bytes: int, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 1)
    lines = ["Title", "id,formatted_text", "", '1,"two', 'lines"', "", "\x1a", "2", "3,a", "", ",", "4,b,c"]
    data = ends.join([*lines, ""]).encode()
    loaded = support.load(gzip.compress(data) if packed else data, piece_bytes=piece_bytes, chunk_size=1)
    assert {reject.row_number: reject.line for reject in loaded.rejects()} == {2: 8, 5: 12}
    assert [row.line for row in loaded.rebuilt(1, 9)] == [4, 8, 9, 11, 12]
    if not packed:
        assert [shard.line for shard in loaded.plan.shards] == [3, 6, 9, 10, 12]


def test_a_record_that_is_skipped_over_counts_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.reading.reader.RECORD_LIMIT_BYTES", 19)
    data = 'id,formatted_text\n1,"' + "x\r\n" * 20 + '"\n2\n3,c\n'
    assert [(reject.line, reject.reason) for reject in support.load(data, piece_bytes=4).rejects()] == [
        (2, "field_too_long"), (23, "ragged_row"),
    ]  # fmt: skip


def test_nuls_by_the_megabyte_behind_the_last_row_are_nothing() -> None:
    loaded = support.load(b"id,formatted_text\n1,a\n2,b" + bytes(9 << 20))
    assert ([row.text for row in loaded.rows()], loaded.plan.rows_total) == (["a", "b"], 2)


def test_the_rest_of_a_row_that_a_line_end_cut_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 1)
    loaded = support.load("id,formatted_text,n\n1,good,5\n2,two\nlines, here,6\n3,good,7\n4, fine,8\n", chunk_size=1)
    assert loaded.reasons() == {2: "ragged_row", 3: "bad_quoting"}
    chunks = loaded.chunks()
    assert [loaded.chunks(first_chunk=number)[0] for number in range(len(chunks))] == chunks


WANTED = ("id", "formatted_text")


@pytest.mark.parametrize(
    ("cells", "chosen", "columns"),
    [
        (["id", "formatted_text", "n", "n", "n_2", "n"], {}, ("id", "formatted_text", "n", "n_3", "n_2", "n_4")),
        (["id", "formatted_text", "", "column_3"], {}, ("id", "formatted_text", "column_3_", "column_3")),
        (["id", "formatted_text", "n", "n"], {"metadata_columns": ("n_2",)}, ("id", "formatted_text", "n", "n_2")),
    ],
)
def test_names_that_stand_twice_are_told_apart(
    cells: list[str], chosen: dict[str, Any], columns: tuple[str, ...]
) -> None:
    loaded = support.load(",".join(cells) + "\n", **chosen)
    assert loaded.plan.columns == columns


@pytest.mark.parametrize(
    "chosen",
    [
        {"metadata_columns": ("n",)}, {"exclude_columns": ("n",)}, {"text_template": "{n}"}, {"id_column": "n"},
        {"start_date": datetime.date(2024, 1, 1), "date_column": "n"}, {"column_types": ("n:string",)},
    ],
)  # fmt: skip
def test_a_wanted_name_that_stands_twice_is_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(failures.FileFailure, match="'n' more than once") as caught:
        support.load("id,formatted_text,n,n\n1,a,2024-01-01,3\n", **chosen)
    assert caught.value.reason == "DUPLICATE_HEADER"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Nom\u00a0 du  produit", "Nom du produit"),
        ("Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"),
        ("Gr\u00f6\u00dfe", " Gro\u0308\u00dfe "),
        ("two\r\nlines", "two lines"),
        ("a\tb\x0b", "a b"),
        ("bell\x07", "bell\x07"),
    ],
)
def test_a_name_is_the_same_in_every_way_to_write_it(written: str, asked: str) -> None:
    data = f'id,"{written}",n\n1,the text,5\n"id","{written}",n\n'
    for chosen in ({"text_column": asked}, {"text_template": f"{{{asked}}}"}):
        loaded = support.load(data, **chosen)
        assert [row.text for row in loaded.rows()] == ["the text"]
    assert written.strip() in support.load(data, text_column="n", metadata_columns=(asked,)).metadata()[0]
    assert "n" in support.load(data, text_column=asked, column_types=(f"{asked}:string",)).metadata()[0]


def test_a_name_that_is_spelled_as_asked_goes_before_one_that_only_reads_so() -> None:
    loaded = support.load("id,a  b,a b\n1,x,y\n", text_column="a b")
    assert loaded.rows()[0].text == "y"
    with pytest.raises(failures.FileFailure, match="DUPLICATE_HEADER"):
        support.load("id,a  b,a\tb\n1,x,y\n", text_column="a b", delimiter=",")


def test_a_header_that_no_ledger_holds_is_refused_at_once() -> None:
    names = [f"{number} {'question ' * 9}" for number in range(4_000)]
    with pytest.raises(failures.FileFailure, match="4,002 columns have") as caught:
        support.load(",".join([*WANTED, *names]) + "\n1,a\n")
    assert caught.value.reason == "HEADER_TOO_LARGE"
    short = [f"c{number}" for number in range(19_998)]
    assert sum(map(len, short)) < header.HEADER_LIMIT_BYTES
    assert len(support.load(",".join([*WANTED, *short]) + "\n").plan.columns) == 20_000

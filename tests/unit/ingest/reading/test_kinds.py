"""Every kind of file that comes along, and exactly what becomes of it."""

import codecs
import gzip
import tracemalloc

import pytest

from services.ingest import failures
from tests.unit.ingest import support

HEAD = "id,formatted_text\n"
GZ = gzip.compress(f"{HEAD}1,a\n".encode())
OPEN_FOR_LONG = f'{HEAD}1,a\n2,"open\n' + "".join(f"{number},x\n" for number in range(3, 10_003))

# What is read: rows in all, ids of the usable ones, reasons of the rejects by row.
READ: dict[str, tuple[bytes, int, list[str], dict[int, str]]] = {
    "UTF-8 with its mark": (codecs.BOM_UTF8 + f"{HEAD}1,é\n".encode(), 1, ["1"], {}),
    "a stray byte after a UTF-8 mark": (
        codecs.BOM_UTF8 + f"{HEAD}1,a\n2,".encode() + b"caf\xe9\n", 2, ["1"], {2: "bad_encoding"},
    ),
    "UTF-16 LE": (codecs.BOM_UTF16_LE + f"{HEAD}1,é\n".encode("utf-16-le"), 1, ["1"], {}),
    "UTF-16 BE": (codecs.BOM_UTF16_BE + f"{HEAD}1,é\n".encode("utf-16-be"), 1, ["1"], {}),
    "UTF-16 with half an emoji": (
        codecs.BOM_UTF16_LE + f"{HEAD}1,a\n2,x\ud83d\n3,c\n".encode("utf-16-le", "surrogatepass"), 3, ["1", "3"],
        {2: "bad_encoding"},
    ),
    "UTF-8 of a surrogate": (f"{HEAD}1,é\n2,ü\n3,".encode() + b"\xed\xa0\xbd", 3, ["1", "2"], {3: "bad_encoding"}),
    "cp1252": (f"{HEAD}1,“Café” €5\n".encode("cp1252"), 1, ["1"], {}),
    "Shift-JIS": (f"{HEAD}1,日本語のテキスト\n".encode("shift_jis"), 1, ["1"], {}),
    "NUL": (f"{HEAD}1,a\0b\n2\0,c\n".encode(), 2, ["1"], {2: "bad_id"}),
    "control characters": (f"{HEAD}1,a\x01\x0b\n\x032,c\n".encode(), 2, ["1"], {2: "bad_id"}),
    "CR only": (b"id,formatted_text\r1,a\r2,b\r", 2, ["1", "2"], {}),
    "mixed line ends": (b"id,formatted_text\r\n1,a\n2,b\r3,c", 3, ["1", "2", "3"], {}),
    "LF CR": (b"id,formatted_text\n\r1,a\n\r2,b\n\r", 2, ["1", "2"], {}),
    "embedded line ends": (b'id,formatted_text\n1,"a\r\n\nb"\n2,c\n', 2, ["1", "2"], {}),
    "blank lines everywhere": (b"\n\nid,formatted_text\n\n1,a\n\n\n2,b\n\n\n", 2, ["1", "2"], {}),
    "lines of blanks": (b"id,formatted_text\n   \n1,a\n", 2, ["2"], {}),
    "rows of delimiters only": (b"id,formatted_text\n,\n,,\n1,a\n", 3, ["3"], {}),
    "no line end at the end": (b"id,formatted_text\n1,a", 1, ["1"], {}),
    "a header only": (b"id,formatted_text", 0, [], {}),
    "delimiters inside of header quotes": (b'"id";"a,b,c,d";"formatted_text"\n1;2;x\n', 1, ["1"], {}),
    "blanks around names": (b" id , formatted_text \n1,a\n", 1, ["1"], {}),
    "a line end inside of a name": (b'id,formatted_text,"two\nlines"\n1,a,b\n', 1, ["1"], {}),
    "files put together, each with its mark": (
        f"{HEAD}1,a\n\ufeff{HEAD}2,b\n".encode("utf-8-sig"), 3, ["1", "3"], {},
    ),
    "a first column that is called like another format": (b"PAR1,BZh,id,formatted_text\n,,1,a\n", 1, ["1"], {}),
    "blank lines for 300 KB": (b"\n" * 300_000 + b"id,formatted_text\n1,a\n", 1, ["1"], {}),
    "gz in members with padding": (GZ + gzip.compress(b"2,b\n") + gzip.compress(b"") + bytes(99), 2, ["1", "2"], {}),
    "a row of 5 MB with a broken quote": (
        f'{HEAD}1,a\n2,"a"b{"x" * 5_000_000}\n3,c\n'.encode(), 3, ["1", "3"], {2: "field_too_long"},
    ),
}  # fmt: skip

# What is not: the name of the failure, and a word that its message must have.
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "EMPTY_FILE", "0 bytes"),
    "blank lines": (b"\n \r\n", "EMPTY_FILE", "header line"),
    "a title and no header": (b"Report of May\n\n1,a\n", "MISSING_COLUMN", "'Report of May'"),
    "duplicate headers": (b"id,formatted_text,n,id\n1,a,2,3", "DUPLICATE_HEADER", "'id'"),
    "empty headers": (b",,\n1,2,3", "NO_HEADER", "names no column"),
    "20,001 columns": (",".join(f"c{n}" for n in range(20_001)).encode(), "TOO_MANY_COLUMNS", "20,000"),
    "a quote never closed": (OPEN_FOR_LONG.encode(), "UNBALANCED_QUOTE", "row 2 "),
    "a quote closed 10,000 rows later": (
        f'{OPEN_FOR_LONG}10003,close"\n10004,b\n'.encode(), "UNBALANCED_QUOTE", "over 10,002 lines",
    ),
    "a quote closed in another row's text": (f'{OPEN_FOR_LONG}1,"b"\n'.encode(), "UNBALANCED_QUOTE", "row 2 "),
    "UTF-16 LE without its mark": (f"{HEAD}1,a".encode("utf-16-le"), "NOT_TEXT", "encoding=utf-16-le"),
    "UTF-16 BE without its mark": (f"{HEAD}1,a".encode("utf-16-be"), "NOT_TEXT", "encoding=utf-16-be"),
    "Japanese in UTF-16 without its mark": (
        "番号,本文\n1,日本語のテキスト".encode("utf-16-le"), "NOT_TEXT", "encoding=utf-16-le",
    ),
    "binary junk": (bytes(range(256)) * 50, "NOT_TEXT", "control characters"),
    "an Excel workbook": (b"PK\x03\x04\x14\x00" + bytes(50), "NOT_TEXT", ".xlsx"),
    "Parquet": (b"PAR1\x15\x04\x15", "NOT_TEXT", "Parquet"),
    "bzip2": (b"BZh91AY&SY\x12", "NOT_TEXT", "bzip2"),
    "JSON": (b'[\n {"id": 1}]', "NOT_CSV", "JSON"),
    "JSON lines": (b'{"id": 1}\n{"id": 2}\n', "NOT_CSV", "JSON"),
    "a web page": (b"<!DOCTYPE html>", "NOT_CSV", "web page"),
    "gz cut short": (GZ[:-9], "GZIP_TRUNCATED", "whole file"),
    "gz of five bytes": (GZ[:5], "GZIP_TRUNCATED", "whole file"),
    "gz with other bytes after it": (GZ + b"\n", "GZIP_CORRUPT", "Other bytes follow"),
    "gz of nothing": (gzip.compress(b""), "EMPTY_FILE", "0 bytes"),
    "gz of gz": (gzip.compress(GZ), "NOT_TEXT", "packed twice"),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_a_kind_that_is_read(kind: str) -> None:
    data, rows, ids, reasons = READ[kind]
    loaded = support.load(data)
    assert loaded.plan.rows_total == rows
    assert [str(row.row_number) for row in loaded.rows()] == ids
    assert loaded.reasons() == reasons


@pytest.mark.parametrize("kind", REFUSED)
def test_a_kind_that_is_refused(kind: str) -> None:
    data, reason, word = REFUSED[kind]
    with pytest.raises(failures.FileFailure) as caught:
        support.load(data)
    assert caught.value.reason == reason
    assert word in caught.value.message


@pytest.mark.parametrize("field", [b"x" * 100_000_000, b'"' + b"x," * 10_000_000 + b'"'], ids=["plain", "quoted"])
def test_a_field_of_100_mb_is_a_reject_and_never_in_memory(field: bytes) -> None:
    data = b"id,formatted_text\n1,a\n2," + field + b"\n3,c\n"
    tracemalloc.start()
    try:
        loaded = support.load(data)
        scanned = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert loaded.reasons() == {2: "field_too_long"}
    assert [row.row_number for row in loaded.rows()] == [1, 3]
    assert scanned < 60_000_000


@pytest.mark.parametrize("text", ["“Café” €5", "© 2020 Acme®", "São Paulo não é a capital", "Größe 5"])
def test_western_text_is_taken_for_cp1252_however_short(text: str) -> None:
    loaded = support.load(f"{HEAD}1,{text}\n".encode("cp1252"))
    assert (loaded.plan.dialect.encoding, loaded.rows()[0].text) == ("cp1252", text)


def test_the_second_byte_of_a_character_is_no_delimiter() -> None:
    text = "ポ" * 3
    loaded = support.load(f"id|formatted_text\n1|{text}\n".encode("cp932"), delimiter="|", encoding="cp932")
    assert not loaded.plan.dialect.seekable
    assert [row.text for row in loaded.rows()] == [text]


def test_a_header_longer_than_what_is_looked_at_is_still_utf8() -> None:
    names = ",".join(f"é{number}" for number in range(19_990))
    long = f"id,formatted_text,{names}{'é' * 55_000}"
    loaded = support.load(f"{long}\n".encode())
    assert loaded.plan.dialect.encoding == "utf-8"


@pytest.mark.parametrize("piece_bytes", [1, 40, 1 << 20])
def test_the_encoding_does_not_depend_on_the_pieces_in_which_bytes_come(piece_bytes: int) -> None:
    data = HEAD.encode() + b"1,caf\xe9\n" + "2,é\n3,ü\n".encode()
    loaded = support.load(data, piece_bytes=piece_bytes)
    assert loaded.plan.dialect.encoding == "utf-8"
    assert loaded.reasons() == {1: "bad_encoding"}

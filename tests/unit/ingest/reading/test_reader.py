import csv
import gzip
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest import failures
from services.ingest.reading import gunzip, reader
from tests.unit.ingest import support

QUOTED = 'id,formatted_text\n1,"Wolverine (James \\""Logan\\"" Howlett)"\n2,"two\nlines, ""quoted"""\n'


def texts(data: bytes | str, **chosen: object) -> list[str]:
    return [row.text for row in support.load(data, sanitizer="none", **chosen).rows()]


def failure(data: bytes | str, **chosen: object) -> failures.FileFailure:
    with pytest.raises(failures.FileFailure) as caught:
        support.load(data, **chosen)
    return caught.value


def test_doubled_quotes_backslashes_and_quoted_newlines_read_as_written() -> None:
    assert texts(QUOTED) == ['Wolverine (James \\"Logan\\" Howlett)', 'two\nlines, "quoted"']


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_line_ends_encodings_and_pieces_make_no_difference(piece_bytes: int, end: str, encoding: str) -> None:
    data = end.join(["id,formatted_text", "1,é", "", '2,"a😀', ' b"', "3,x\x0b\x85\u2028\x1c", ""]).encode(encoding)
    loaded = support.load(data, piece_bytes=piece_bytes, sanitizer="none")
    assert [row.text for row in loaded.rows()] == ["é", f"a😀{end} b", "x\x0b\x85\u2028\x1c"]
    assert loaded.plan.rows_total == 3


def test_mixed_line_ends_are_said_to_be() -> None:
    loaded = support.load("id,formatted_text\r\n1,a\n2,b\r3,c")
    assert (loaded.plan.rows_total, loaded.plan.dialect.newline) == (3, "mixed")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str) -> None:
    lines = [["id", "formatted_text", "price"], ["1", "a, b; c", "2,5"], ["2", "x | y\tz", "3,5"]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(lines)
    assert texts(out.getvalue()) == ["a, b; c", "x | y\tz"]


def test_a_declared_delimiter_wins() -> None:
    assert texts("id|formatted_text\n1|a,b", delimiter="|") == ["a,b"]
    assert failure("id|formatted_text\n1|a,b", delimiter=",").reason == "MISSING_COLUMN"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "“Café” naïve façade €5"),
        ("cp1251", "Привет мир! Это проверка кодировки текста."),
        ("shift_jis", "日本語のテキストです。これはテストです。"),
        ("gb18030", "这是一个测试文本用来检测中文编码。"),
        ("euc_kr", "안녕하세요 이것은 한국어 시험 문장입니다"),
        ("big5", "這是一個測試文本用來檢測繁體中文編碼。"),
    ],
)
def test_legacy_encodings_are_detected_even_late_in_the_file(encoding: str, text: str) -> None:
    head = "id,formatted_text\n"
    assert texts(f"{head}1,{text}\n2,{text}\n".encode(encoding)) == [text, text]
    late = head + "".join(f"{number},{'plain ' * 40}\n" for number in range(1, 8_000)) + f"8000,{text}\n" * 2
    loaded = support.load(late.encode(encoding), sanitizer="none")
    assert loaded.rows()[-1].text == text


def test_stray_bytes_in_utf8_reject_their_rows_only() -> None:
    data = "id,formatted_text\n1,é\n2,ü\n".encode() + b"3,caf\xe9\n4,ok\n"
    loaded = support.load(data)
    assert loaded.reasons() == {3: "bad_encoding"}
    assert list(loaded.rejects()[0].cells) == ["3", "caf\\xe9"]
    assert loaded.plan.dialect.encoding == "utf-8"


def test_a_declared_encoding_that_does_not_fit_rejects_rows() -> None:
    loaded = support.load("id,formatted_text\n1,a\n2,é\n".encode("latin-1"), encoding="utf-8")
    assert loaded.reasons() == {2: "bad_encoding"}


def test_utf16_that_breaks_off_fails_by_name() -> None:
    assert failure("id,formatted_text\n1,a".encode("utf-16") + b"\x00").reason == "BAD_ENCODING"
    assert "utf-16-le" in failure("id,formatted_text\n1,a".encode("utf-16-le")).message
    assert texts("id,formatted_text\n1,a".encode("utf-16-le"), encoding="utf-16-le") == ["a"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY_FILE"),
        (b"\xef\xbb\xbf", "EMPTY_FILE"),
        (b"\n\r\n \n", "EMPTY_FILE"),
        (b"PK\x03\x04" + bytes(100), "NOT_TEXT"),
        (bytes(range(256)) * 50, "NOT_TEXT"),
        (b'[{"id": 1}]', "NOT_CSV"),
        (b'{"id": 1}', "NOT_CSV"),
        (b"<!DOCTYPE html><html>", "NOT_CSV"),
        (b",,\n1,2,3", "NO_HEADER"),
        (b"id,formatted_text,id\n1,2,3", "DUPLICATE_HEADER"),
        (b'id,"formatted_text\n1,a', "UNBALANCED_QUOTE"),
        (b"id\x00x,text\n1,2", "MISSING_COLUMN"),
        (gzip.compress(b"id,formatted_text\n1,a\n" * 1_000)[:-9], "GZIP_TRUNCATED"),
        (gzip.compress(b"id,formatted_text\n1,a\n", mtime=0)[:10] + b"\xff" * 20, "GZIP_CORRUPT"),
    ],
)
def test_files_that_are_no_csv_fail_by_name(data: bytes, reason: str) -> None:
    assert failure(data).reason == reason


def test_missing_columns_are_named_with_those_there_are() -> None:
    failed = failure("key;words\n1;a", metadata_columns=("extra",))
    assert failed.reason == "MISSING_COLUMN"
    for name in ("'id'", "'formatted_text'", "'extra'", "'key'", "'words'"):
        assert name in failed.message


@pytest.mark.parametrize("piece_bytes", [5, 1 << 20])
def test_an_unbalanced_quote_names_the_row_where_it_opens(piece_bytes: int) -> None:
    data = "id,formatted_text\n1,a\n2,b\n\n" + '3,"open\n' + "4,c\n" * 50
    assert "row 3 " in failure(data, piece_bytes=piece_bytes).message
    closed_elsewhere = failure(data + '5,"d"\n', piece_bytes=piece_bytes)
    assert (closed_elsewhere.reason, "row 3 " in closed_elsewhere.message) == ("UNBALANCED_QUOTE", True)


def test_broken_quoting_within_a_line_rejects_the_row() -> None:
    loaded = support.load('id,formatted_text\n1,"a"b\n2,c\n')
    assert loaded.reasons() == {1: "bad_quoting"}
    assert [row.text for row in loaded.rows()] == ["c"]


def test_a_header_without_rows_is_fine_and_blank_headers_get_names() -> None:
    loaded = support.load("\n id ,,formatted_text, \n")
    assert loaded.plan.columns == ("id", "column_2", "formatted_text", "column_4")
    assert (loaded.plan.rows_total, loaded.plan.chunks_total, loaded.chunks()) == (0, 0, [])


def test_gzip_is_known_by_its_bytes_and_may_have_members_and_padding() -> None:
    packed = gzip.compress(b"id,formatted_text\n1,a\n") + gzip.compress(b"2,b\n") + bytes(512)
    loaded = support.load(packed, piece_bytes=7)
    assert [row.text for row in loaded.rows()] == ["a", "b"]
    assert (loaded.pinned.gzip, loaded.plan.size_bytes) == (True, len(packed))


def test_gzip_that_unpacks_beyond_all_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunzip, "RATIO_FREE_BYTES", 1 << 20)
    packed = gzip.compress(b"id,formatted_text\n" + (b"1," + b"a" * 1_000 + b"\n") * 10_000)
    assert failure(packed).reason == "GZIP_BOMB"


def test_a_field_over_1_mb_is_a_reject_among_good_neighbours() -> None:
    loaded = support.load(f"id,formatted_text\n1,a\n2,{'x' * 1_100_000}\n3,c\n")
    assert loaded.reasons() == {2: "field_too_long"}
    assert len(loaded.rejects()[0].cells[1]) < 70_000


@pytest.mark.parametrize("giant", ["x" * 20, '"' + 'x,""\r\n' * 5 + '"'])
@pytest.mark.parametrize("piece_bytes", [1, 3, 64])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_record_too_big_to_hold_is_skipped_as_one_row(
    giant: str, piece_bytes: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "RECORD_LIMIT_BYTES", 19)
    data = f"id,formatted_text\n1,a\n\n2,{giant}{end}" + (f"3,c{end}" if end else "")
    loaded = support.load(data, piece_bytes=piece_bytes)
    assert loaded.reasons() == {2: "field_too_long"}
    assert [row.text for row in loaded.rows()] == (["a", "c"] if end else ["a"])


@pytest.mark.parametrize("rest", ["x\n" * 30, 'x\n1,"a"\n' * 30])
def test_a_quote_that_swallows_more_than_can_be_held_is_unbalanced(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "RECORD_LIMIT_BYTES", 19)
    failed = failure(f'id,formatted_text\n1,a\n2,"{rest}', piece_bytes=4)
    assert (failed.reason, "row 2 " in failed.message) == ("UNBALANCED_QUOTE", True)


def test_ten_thousand_columns_are_read() -> None:
    names = ["id", "formatted_text", *[f"c{number}" for number in range(10_000)]]
    data = ",".join(names) + "\n" + ",".join(["1", "a", *["2"] * 10_000]) + "\n"
    assert support.load(data, metadata_columns=("c9999",)).metadata()[0]["c9999"] == 2.0


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=12),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "gb18030"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    piece_bytes=st.integers(1, 40),
)
@example(rows=[("\x00", "\r"), ('"', "\n\n")], encoding="utf-16", end="\r", delimiter=",", piece_bytes=1)
def test_what_csv_writes_is_what_is_read(
    rows: list[tuple[str, str]], encoding: str, end: str, delimiter: str, piece_bytes: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "formatted_text"), *rows])
    loaded = support.load(
        out.getvalue().encode(encoding), piece_bytes=piece_bytes, delimiter=delimiter, encoding=encoding
    )
    assert [tuple(row.cells) for row in loaded.rebuilt(1, len(rows))] == rows


@pytest.mark.parametrize("piece_bytes", [1, 3, 50, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_broken_quote_in_a_record_too_big_to_hold_spoils_that_record_only(
    piece_bytes: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "RECORD_LIMIT_BYTES", 19)
    data = end.join(["id,formatted_text", "1,a", f'2,"a"b{"x" * 30},"c', f'3,{"x" * 30},"a""b"c', "4,d", ""])
    loaded = support.load(data, piece_bytes=piece_bytes)
    assert loaded.reasons() == {2: "field_too_long", 3: "field_too_long"}
    assert [row.row_number for row in loaded.rows()] == [1, 4]


@pytest.mark.parametrize("neighbour", [10, 100])
def test_a_field_is_too_long_whatever_stands_beside_it(neighbour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FIELD_LIMIT_BYTES", 90)
    thai = "ก" * 31  # 31 bytes in TIS-620, 93 in UTF-8
    loaded = support.load(f"id,formatted_text\n1,{thai}\n2,{'x' * neighbour}\n".encode("tis-620"), encoding="tis-620")
    assert loaded.reasons().get(1) == "field_too_long"

import csv
import datetime
import decimal
import io
import math

import numpy as np
import pandas as pd
import pytest

from vectorline_client import content, rows


def whole(sent: content.Content) -> bytes:
    return b"".join(sent.pieces())


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode()), strict=True))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (np.bool_(False), "false"),
        (12, "12"),
        (np.int64(12), "12"),
        (0.1, "0.1"),
        (np.float32(0.5), "0.5"),
        (1e-05, "1e-05"),
        (math.nan, ""),
        (np.float64(0.25), "0.25"),
        (np.float64("nan"), ""),
        (np.datetime64("2026-11-30T06:00:00"), "2026-11-30T06:00:00"),
        (pd.NA, ""),
        (pd.NaT, ""),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2026, 11, 30), "2026-11-30"),
        (datetime.datetime(2026, 11, 30, 6, tzinfo=datetime.UTC), "2026-11-30T06:00:00+00:00"),
        (pd.Timestamp("2026-11-30"), "2026-11-30T00:00:00"),
        (np.str_("a"), "a"),
    ],
)
def test_a_value_becomes_the_cell_that_the_line_reads_back(value: object, cell: str) -> None:
    assert rows.cell(value) == cell


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a", object(), np.array([1, 2])])
def test_what_no_cell_can_hold_is_named_with_its_row_and_column(value: object) -> None:
    encoder = rows.Encoder()
    encoder.add({"id": 1, "tags": "a"})
    with pytest.raises(TypeError, match=r"Row 2, column 'tags': a .* is no cell"):
        encoder.add({"id": 2, "tags": value})


def test_rows_are_written_as_strict_csv() -> None:
    text = 'He said "no",\nthen\r\nleft; ü'
    assert table(whole(content.of([{"id": 1, "formatted_text": text}, {"id": 2}]))) == [
        ["id", "formatted_text"],
        ["1", text],
        ["2", ""],
    ]


def test_a_key_that_the_first_row_lacks_is_an_error_and_not_a_lost_value() -> None:
    with pytest.raises(ValueError, match="Row 2 has price, and the first row does not"):
        whole(content.of([{"id": 1}, {"id": 2, "price": 3}]))
    named = content.of([{"id": 1}, {"id": 2, "price": 3}], columns=["id", "price"])
    assert table(whole(named)) == [["id", "price"], ["1", ""], ["2", "3"]]


def test_a_generator_is_read_piece_by_piece_and_never_whole() -> None:
    read: list[int] = []

    def source():
        for number in range(20_000):
            read.append(number)
            yield {"id": number, "formatted_text": "x" * 100}

    sent = content.of(source())
    pieces = sent.pieces()
    first = next(pieces)
    assert len(first) <= content.PIECE_BYTES
    assert len(read) < 5_000
    assert (sent.repeatable, sent.written_here) == (False, True)
    assert len(table(first + b"".join(pieces))) == 20_001


def test_a_row_larger_than_a_piece_is_cut_between_bytes() -> None:
    text = "ü" * 3_000_000
    pieces = list(content.of([{"id": 1, "formatted_text": text}]).pieces())
    assert max(map(len, pieces)) <= content.PIECE_BYTES
    assert b"".join(pieces).decode() == f"id,formatted_text\n1,{text}\n"


def test_a_list_can_be_read_again_from_its_beginning() -> None:
    sent = content.of([{"id": 1}, {"id": 2}])
    assert sent.repeatable
    assert whole(sent) == whole(sent) == b"id\n1\n2\n"


@pytest.mark.parametrize("size", [0, 1, content.FRAME_ROWS, content.FRAME_ROWS + 1])
def test_a_data_frame_is_sent_some_rows_at_a_time_with_one_header(size: int) -> None:
    frame = pd.DataFrame({"id": range(size), "formatted_text": ["a, b"] * size}, index=range(7, size + 7))
    sent = content.of(frame)
    found = table(whole(sent))
    assert found[0] == ["id", "formatted_text"]
    assert found[1:] == [[str(number), "a, b"] for number in range(size)]
    assert (sent.repeatable, sent.written_here) == (True, True)


def test_a_frame_with_slices_is_read_by_them() -> None:
    """As polars has it, which is not installed here."""

    class Part:
        def __init__(self, lines: list[str]) -> None:
            self.lines = lines

        def write_csv(self, *, include_header: bool = True) -> str:
            return "".join([*(["id\n"] if include_header else []), *self.lines])

        def iter_slices(self, size: int):
            yield from (Part(self.lines[start : start + 2]) for start in range(0, len(self.lines), 2))

    assert whole(content.of(Part(["1\n", "2\n", "3\n"]))) == b"id\n1\n2\n3\n"
    assert whole(content.of(Part([]))) == b"id\n"


def test_bytes_and_streams_go_as_they_are(tmp_path) -> None:
    data = bytes(range(256)) * 10_000
    path = tmp_path / "a.csv.gz"
    path.write_bytes(data)
    with path.open("rb") as stream:
        sources = [data, bytearray(data), path, str(path), [data[:5], data[5:]], iter([data]), stream]
        assert all(whole(content.of(source)) == data for source in sources)
        assert content.of(stream).name == "a.csv.gz"
    assert content.of(path).size_bytes == len(data)
    assert not any(content.of(source).written_here for source in sources[:4])


@pytest.mark.parametrize("source", [5, {"id": 1}, None, object()])
def test_what_cannot_be_loaded_is_told_at_once(source) -> None:
    with pytest.raises(TypeError, match="cannot be loaded"):
        content.of(source)


def test_what_is_no_row_among_rows_is_told() -> None:
    with pytest.raises(TypeError, match="not a int"):
        whole(content.of([5]))
    with pytest.raises(TypeError, match="not a bytes"):
        whole(content.of([{"id": 1}, b"x"]))
    with pytest.raises(TypeError, match="binary mode"):
        whole(content.of(io.StringIO("id\n")))


def test_a_missing_file_and_a_folder_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        content.of("missing.csv")
    with pytest.raises(IsADirectoryError):
        content.of(tmp_path)

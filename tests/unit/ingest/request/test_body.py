"""Bodies of uploads: the file itself, or a form with the file in it, in pieces of any size."""

import gzip

import pytest

from services.ingest.request import body, filename
from services.runtime import errors

FILE = b"id,formatted_text\r\n1,a -- b\r\n--bo\r\n2,--bound\r\n"
FORM = (
    b'--bound\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\nContent-Type: text/csv\r\n\r\n'
    + FILE
    + b"\r\n--bound--\r\n"
)
MULTIPART = "multipart/form-data; boundary=bound"


def taken(content_type: str, data: bytes, piece: int) -> bytes:
    made = body.of(content_type)
    out = b"".join(made.file(data[at : at + piece]) for at in range(0, len(data), piece))
    return out + made.finish()


@pytest.mark.parametrize("piece", [1, 2, 7, 50, 10_000])
def test_a_form_is_unwrapped_wherever_its_pieces_end(piece: int) -> None:
    assert taken(MULTIPART, FORM, piece) == FILE


OTHER = ["", "text/csv", "application/json", "text/html; charset=x", "multipart/mixed; boundary=x", "???"]


@pytest.mark.parametrize("content_type", OTHER)
@pytest.mark.parametrize(
    "data", [FILE, b"--", b"--bound", b"--a,b\r\n1,2\r\n", b"--a\r\nConten", b"--a\ncontent-b\n", b""]
)
@pytest.mark.parametrize("piece", [1, 9, 1_000])
def test_any_other_body_is_the_file(content_type: str, data: bytes, piece: int) -> None:
    assert taken(content_type, data, piece) == data


@pytest.mark.parametrize("content_type", OTHER)
@pytest.mark.parametrize("piece", [1, 9, 1_000])
def test_a_form_is_unwrapped_whatever_it_is_called(content_type: str, piece: int) -> None:
    assert taken(content_type, FORM, piece) == FILE
    with pytest.raises(errors.InvalidArgument, match="ends in the middle"):
        taken(content_type, FORM[:-9], piece)


def test_a_form_without_its_boundary_says_how_to_send_a_file() -> None:
    with pytest.raises(errors.UnsupportedMediaType, match="--data-binary") as caught:
        body.of("multipart/form-data")
    assert caught.value.http_status == 415


URLENCODED = ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"]


@pytest.mark.parametrize("piece", [1, 7, 1_000])
@pytest.mark.parametrize("content_type", URLENCODED)
@pytest.mark.parametrize("data", [b"id,formatted_text1,a2,b", b"a=1&b=%0A"])
def test_what_curl_d_made_of_a_file_is_refused_with_the_remedy(content_type: str, data: bytes, piece: int) -> None:
    with pytest.raises(errors.UnsupportedMediaType, match="--data-binary") as caught:
        taken(content_type, data, piece)
    assert caught.value.http_status == 415


def test_a_body_that_never_has_a_line_end_is_not_stored_to_its_last_byte() -> None:
    received = body.of(URLENCODED[0])
    received.file(b"x" * (1 << 20))
    with pytest.raises(errors.UnsupportedMediaType):
        received.file(b"x")


@pytest.mark.parametrize("piece", [1, 7, 1_000])
@pytest.mark.parametrize(
    "data", [b"id,formatted_text\n1,a\n", b"id\r1\r", b"", gzip.compress(b"id,formatted_text\n", mtime=0)]
)
def test_curl_data_binary_says_the_same_of_a_whole_file_which_is_taken(data: bytes, piece: int) -> None:
    assert taken(URLENCODED[0], data, piece) == data


FIELD = b'--bound\r\nContent-Disposition: form-data; name="question_id"\r\n\r\n7\r\n'


@pytest.mark.parametrize(("data", "word"), [
    (FORM[:-20], "in the middle"),
    (b"--bound--\r\n", "no file"),
    (FIELD + FORM, "question_id"),
    (FORM[: -len(b"--bound--\r\n")] + FORM, "more than one file"),
    (b"id,formatted_text\n1,a\n", "broken"),
])  # fmt: skip
def test_a_form_that_is_not_one_file_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=word) as caught:
        taken(MULTIPART, data, 5)
    assert caught.value.reason == "BAD_FORM"


def test_a_form_of_100_mb_is_never_in_memory() -> None:
    made = body.of(MULTIPART)
    made.file(FORM[: FORM.index(FILE)])
    assert all(len(made.file(b"x" * 1_000_000)) <= 1_000_010 for _ in range(100))


@pytest.mark.parametrize("name", ["größe 表.csv", "a\u00a0b\u3000c.csv", "👨‍👩‍👧.csv", "x" * 1_024])
def test_a_file_may_be_called_anything_that_can_be_printed(name: str) -> None:
    assert filename.check(name) == name


def test_a_name_is_kept_in_composed_form() -> None:
    assert filename.check("cafe\u0301.csv") == "café.csv"


@pytest.mark.parametrize("name", ["é" * 513, "a\nb.csv", "a\0.csv", "\u2028.csv"])
def test_a_name_that_is_too_long_or_cannot_be_printed_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        filename.check(name)
    assert [each.field for each in caught.value.violations] == ["filename"]

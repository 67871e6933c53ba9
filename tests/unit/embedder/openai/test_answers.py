"""Answers are checked before they are used, and what of them is good is used."""

import base64
import struct
from typing import Any

import hypothesis
import orjson
import pytest
from hypothesis import strategies as st

from services.embedder.openai import answers, headers
from services.embedder.openai import errors as openai_errors

WIDTH = 3


def packed(*values: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def decode(text: bytes, count: int, width: int, piece: int = 7) -> list[bytes]:
    """Decode a body that comes in pieces of so many bytes."""
    decoder = answers.Decoder(count, width)
    feed_all(decoder, [text[start : start + piece] for start in range(0, len(text), piece)])
    return decoder.finish()


def feed_all(decoder: answers.Decoder, pieces: list[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


GOOD = packed(1, 2, 3)


def body(*embeddings: Any) -> bytes:
    return orjson.dumps({"data": [{"index": n, "embedding": each} for n, each in enumerate(embeddings)]})


def test_base64_is_taken_as_it_is() -> None:
    assert decode(body(packed(1, 2, 3)), 1, WIDTH) == [struct.pack("<3f", 1, 2, 3)]


def test_a_server_that_ignores_the_format_is_understood() -> None:
    assert decode(body([1, 2.5, 3]), 1, WIDTH) == [struct.pack("<3f", 1, 2.5, 3)]


@pytest.mark.parametrize("colon", [":", " : ", ": ", ":\n  ", " :"])
def test_white_space_does_not_matter(colon: str) -> None:
    text = f'{{"data": [ {{"object": "embedding", "index": 0, "embedding"{colon}"{GOOD}"}} ]}}'
    assert decode(text.encode(), 1, WIDTH) == [struct.pack("<3f", 1, 2, 3)]


@pytest.mark.parametrize(("character", "escaped"), [("/", r"\/"), ("+", r"\u002B"), ("=", r"\u003d")])
def test_an_escaped_character_is_the_character(character: str, escaped: str) -> None:
    vector = bytes.fromhex("fbffbe3e") * 4  # four times 0.373
    plain = base64.b64encode(vector).decode()
    assert character in plain
    text = f'{{"data": [{{"index": 0, "embedding": "{plain.replace(character, escaped)}"}}]}}'
    assert decode(text.encode(), 1, 4) == [vector]


@pytest.mark.parametrize("piece", [*range(1, 120), 1_000])
def test_where_a_piece_ends_does_not_matter(piece: int) -> None:
    other = packed(1, 2, 4)
    text = (
        f'{{"data": [{{"embedding": "{GOOD}", "index": 1}}, {{"index": 0, "embedding":"{other}"}}], "n": "x"}}'.encode()
    )
    decoder = answers.Decoder(2, WIDTH)
    feed_all(decoder, [text[start : start + piece] for start in range(0, len(text), piece)])
    assert decoder.unparsed_bytes == len(text) - len(GOOD) - len(other) - 2, "each is cut out, but for its number"
    assert decoder.finish() == [struct.pack("<3f", 1, 2, last) for last in (4, 3)]


def test_of_base64_no_more_than_a_piece_is_held() -> None:
    decoder = answers.Decoder(2_048, 1_536)
    embedding = packed(*range(1, 1_537))
    for number in range(2_048):
        decoder.feed(b'{"index": %d, "embedding": "%b"}' % (number, embedding.encode()))
    assert decoder.unparsed_bytes < 100_000


@pytest.mark.parametrize("place", [0, 127, 128, 129, 299])
@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_an_embedding_is_checked_wherever_it_stands(place: int, bad: float) -> None:
    embeddings = [GOOD] * 300
    embeddings[place] = packed(bad, bad, bad)
    with pytest.raises(openai_errors.Partial, match=r"NaN|zero") as caught:
        decode(body(*embeddings), 300, WIDTH, 50)
    assert [number for number, each in enumerate(caught.value.vectors) if each is None] == [place]
    embeddings[place] = GOOD
    assert len(decode(body(*embeddings), 300, WIDTH, 50)) == 300


def test_what_is_bad_is_refused_before_the_rest_has_come() -> None:
    """It was paid for, but the rest of 17 MB need not be waited for and held."""
    decoder = answers.Decoder(2_048, WIDTH)
    text = body(*[packed(0, 0, 0)] * 200)
    with pytest.raises(openai_errors.Invalid, match="zero"):
        feed_all(decoder, [text[start : start + 50] for start in range(0, len(text), 50)])


@pytest.mark.parametrize("piece", [1_000, 16_384])
def test_a_far_greater_width_is_a_wrong_width(piece: int) -> None:
    """The account is blocked for a model that knows no `dimensions`; an answer that is merely bad is asked again."""
    with pytest.raises(openai_errors.WrongWidth, match=r"20000 values came where 3 were"):
        decode(body(packed(*[1.0] * 20_000)), 1, WIDTH, piece)


def test_an_embedding_without_an_end_is_invalid_before_it_fills_the_memory() -> None:
    decoder = answers.Decoder(1, WIDTH)
    with pytest.raises(openai_errors.Invalid, match="no end"):
        feed_all(decoder, [b'{"data": [{"embedding":"', *[b"A" * 16_384] * 1_000])


def test_embeddings_that_nobody_asked_for_are_invalid_before_they_fill_the_memory() -> None:
    decoder = answers.Decoder(2, WIDTH)
    with pytest.raises(openai_errors.Invalid, match="2 inputs"):
        feed_all(decoder, [b'{"embedding": "%b"}' % GOOD.encode()] * 3)


def test_shuffled_embeddings_are_put_in_order() -> None:
    data = [{"index": index, "embedding": packed(index, 1, 1)} for index in (2, 0, 1)]
    vectors = decode(orjson.dumps({"data": data}), 3, WIDTH)
    assert [struct.unpack("<3f", each)[0] for each in vectors] == [0, 1, 2]


BAD_BODIES = {
    "one too few": body(GOOD),
    "one too many": body(GOOD, GOOD, GOOD),
    "one that there is not": orjson.dumps({"data": [{"index": 0, "embedding": GOOD}, {"index": 2, "embedding": GOOD}]}),
    "one twice, by its place": orjson.dumps({"data": [{"index": 1, "embedding": GOOD}, {"embedding": GOOD}]}),
    "too narrow": body(packed(1, 2), packed(3, 4)),
    "not whole floats": body(*[base64.b64encode(b"12345").decode()] * 2),
    "the place of another": body(GOOD, 0),
    "a place that is none": body(GOOD, 1),
    "nothing but zeros": body(packed(0, 0, 0), [0, 0, 0]),
    "nothing but null": body(None, None),
    "nothing": b'{"data": []}',
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "truncated": body(GOOD, GOOD)[:-10],
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "no data": b'{"data": null}',
    "a number": b'{"data": 7}',
    "numbers": b'{"data": [1, 2]}',
    "a strange index": b'{"data": [{"index": [1], "embedding": "x"}, {"index": 1, "embedding": "x"}]}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_what_is_no_answer_is_invalid(name: str) -> None:
    with pytest.raises(openai_errors.Invalid) as caught:
        decode(BAD_BODIES[name], 2, WIDTH)
    assert not isinstance(caught.value, openai_errors.Partial)


USELESS = {
    "NaN": packed(1, float("nan"), 3),
    "infinity": packed(1, float("inf"), 3),
    "too large for float32": [1e300, 1, 1],
    "all zero": packed(0, 0, 0),
    "no base64": "%%%",
    "no vector": None,
    "an empty string": "",
    "an empty list": [],
    "a list with null": [1, None, 3],
    "words": ["a", "b", "c"],
    "nested": [[1], [2], [3, 4]],
    "too narrow": packed(1, 2),
    "too wide": [1.0, 2.0, 3.0, 4.0],
    "not whole floats": base64.b64encode(b"12345").decode(),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", USELESS)
def test_one_that_cannot_be_used_takes_none_of_its_neighbours_along(name: str, place: int) -> None:
    embeddings: list[Any] = [packed(1, 1, 1), packed(2, 2, 2), [3, 3, 3]]
    expected: list[bytes | None] = [struct.pack("<3f", n, n, n) for n in (1, 2, 3)]
    embeddings[place], expected[place] = USELESS[name], None
    with pytest.raises(openai_errors.Partial) as caught:
        decode(body(*embeddings), 3, WIDTH)
    assert caught.value.vectors == expected


def test_nan_as_pythons_servers_write_it_is_one_that_cannot_be_used() -> None:
    text = b'{"data": [{"index": 0, "embedding": [1, NaN, 3]}, {"index": 1, "embedding": [1, 2, 3]}]}'
    with pytest.raises(openai_errors.Partial) as caught:
        decode(text, 2, WIDTH)
    assert caught.value.vectors == [None, struct.pack("<3f", 1, 2, 3)]


@pytest.mark.parametrize("indexes", [(None, None, None), (None, 1, 2), (0, None, 2), (2, None, 0)])
def test_a_missing_index_is_the_place_in_the_list(indexes: tuple[int | None, ...]) -> None:
    """Google leaves out an index of 0, and some servers leave out all."""
    data = [{"embedding": packed(n, 1, 1), "index": index} for n, index in enumerate(indexes)]
    data = [{name: value for name, value in item.items() if value is not None} for item in data]
    vectors = decode(orjson.dumps({"data": data}), 3, WIDTH)
    places = [index if index is not None else n for n, index in enumerate(indexes)]
    assert [struct.unpack("<3f", each)[0] for each in vectors] == [places.index(n) for n in range(3)]


@pytest.mark.parametrize(
    "indexes",
    [[0, 0, 0, 0], [7, 7, 7, 7], [1, 2, 3, 4], [0, 1, 0, 1], [0, 1, 2, 0], ["0", "1", "2", "3"], [0.0, 1.0, 2.0, 3.0]],
)
def test_indexes_that_say_nothing_leave_each_in_its_place(indexes: list[Any]) -> None:
    data = [{"embedding": packed(n + 1, 1, 1), "index": index} for n, index in enumerate(indexes)]
    vectors = decode(orjson.dumps({"data": data}), 4, WIDTH)
    assert [struct.unpack("<3f", each)[0] for each in vectors] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "indexes", [[0, 1, 1, 3], [0, 1, 2, 4], [0, 2, 1, 1], [3, 1, 0, 4], [True, 0, 2, 3], ["a", 1, 2, 3]]
)
def test_indexes_that_name_one_twice_or_none_are_trusted_in_nothing(indexes: list[Any]) -> None:
    data = [{"embedding": GOOD, "index": index} for index in indexes]
    with pytest.raises(openai_errors.Invalid, match="index"):
        decode(orjson.dumps({"data": data}), 4, WIDTH)


def test_fewer_than_inputs_are_counted() -> None:
    with pytest.raises(openai_errors.TooFew) as caught:
        decode(body(GOOD, GOOD), 5, WIDTH)
    assert caught.value.came == 2


@pytest.mark.parametrize(
    "error",
    [
        {"code": 1113, "msg": "No credit.", "success": False},
        {"detail": "No credit."},
        {"error": {"message": "No.", "code": 500}},
        {"error": "no", "data": None},
        [{"error": {"code": 400, "message": "API key not valid."}}],
        {"object": "error", "message": "No.", "code": 400},
    ],
)
def test_an_error_in_a_200_is_told_as_one(error: Any) -> None:
    with pytest.raises(answers.ErrorInside) as caught:
        decode(orjson.dumps(error), 2, WIDTH)
    assert caught.value.body == error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "index", "embedding"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@hypothesis.given(json_values, st.integers(1, 3), st.integers(1, 40))
def test_no_body_whatever_does_anything_else(value: Any, count: int, piece: int) -> None:
    try:
        vectors = decode(orjson.dumps(value), count, WIDTH, piece)
    except openai_errors.Invalid:
        return
    assert [len(each) for each in vectors] == [4 * WIDTH] * count


@hypothesis.given(st.text(max_size=20))
def test_durations_are_bounded_or_unknown(text: str) -> None:
    seconds = headers.duration_seconds(text)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, headers.DEFAULT_PAUSE_SECONDS),
        ({"retry-after": "3"}, 3),
        ({"retry-after-ms": "120"}, 0.12),
        ({"retry-after": "604800"}, headers.LONGEST_PAUSE_SECONDS),
        ({"retry-after": "inf"}, 1),
        ({"retry-after": "nan"}, 1),
        ({"retry-after": "-5"}, 1),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:07 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 7),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:28:07 GMT"}, 1),
        ({"retry-after": "Fri, 01 Jan 2100 00:00:00 -0000"}, headers.LONGEST_PAUSE_SECONDS),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"retry-after": "later"}, 1),
        ({"retry-after": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, 1),
        ({"retry-after": f"Mon, 01 Jan 2100 00:00:00 +{'9' * 20}"}, 1),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "350ms"}, 0.35),
        ({"x-ratelimit-remaining-tokens": "17", "x-ratelimit-reset-tokens": "350ms"}, 1),
    ],
)
def test_pauses_come_from_the_headers(given: dict[str, str], seconds: float) -> None:
    assert headers.pause_seconds(given) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.", 20),
        ("Please try again in 1m2.5s. Visit our page.", 62.5),
        ("Please try again in 6m0s.", headers.LONGEST_PAUSE_SECONDS),
        ("try again in 86ms", 0.086),
        ("Please retry after 30 seconds.", 30),
        ("Wait 1.5 minutes", 90),
        ("retry 3 times", headers.DEFAULT_PAUSE_SECONDS),
        ("Try again later.", headers.DEFAULT_PAUSE_SECONDS),
    ],
)
def test_pauses_come_from_the_words_where_no_header_tells(words: str, seconds: float) -> None:
    assert headers.pause_seconds({}, words) == pytest.approx(seconds)
    assert headers.pause_seconds({"retry-after": "3"}, words) == 3

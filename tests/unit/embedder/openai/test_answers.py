"""Answers are checked before they are used; refusals are sorted by what is to be done, in words that quote nothing."""

import base64
import struct
from typing import Any

import httpx2
import hypothesis
import openai
import orjson
import pytest
from hypothesis import strategies as st

from services.embedder.openai import answers, headers
from services.embedder.openai import errors as openai_errors

WIDTH = 3
KEY = "sk-secret-key-000000"
TEXTS = ["the quick brown fox jumps over the lazy dog", "b"]


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
    with pytest.raises(openai_errors.Invalid, match=r"NaN|zero"):
        decode(body(*embeddings), 300, WIDTH, 50)
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
    "one twice": orjson.dumps({"data": [{"index": 0, "embedding": GOOD}, {"index": 0, "embedding": GOOD}]}),
    "too narrow": body(GOOD, packed(1, 2)),
    "not whole floats": body(GOOD, base64.b64encode(b"12345").decode()),
    "NaN": body(GOOD, packed(1, float("nan"), 3)),
    "infinity": body(GOOD, packed(1, float("inf"), 3)),
    "too large for float32": body(GOOD, [1e300, 1, 1]),
    "all zero": body(GOOD, packed(0, 0, 0)),
    "no base64": body(GOOD, "%%%"),
    "no vector": body(GOOD, None),
    "the place of another": body(GOOD, 0),
    "a place that is none": body(GOOD, 1),
    "words": body(GOOD, ["a", "b", "c"]),
    "nested": body(GOOD, [[1], [2], [3, 4]]),
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "truncated": body(GOOD, GOOD)[:-10],
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "no data": b'{"data": null}',
    "a number": b'{"data": 7}',
    "no index": b'{"data": [{"embedding": "x"}, {"embedding": "x"}]}',
    "a strange index": b'{"data": [{"index": [1], "embedding": "x"}, {"index": 1, "embedding": "x"}]}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_what_is_no_answer_is_invalid(name: str) -> None:
    with pytest.raises(openai_errors.Invalid):
        decode(BAD_BODIES[name], 2, WIDTH)


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


def refusal(
    status: int, message: str = "No.", *, headers: dict[str, str] | None = None, html: bool = False, **fields: Any
) -> Exception:
    """The verdict on an error status, through the SDK's own reading of the body."""
    request = httpx2.Request("POST", "http://127.0.0.1/v1/embeddings")
    content = b"<html>model not here</html>" if html else orjson.dumps({"error": {"message": message, **fields}})
    response = httpx2.Response(status, content=content, headers=headers, request=request)
    client = openai.AsyncOpenAI(api_key=KEY)
    error = client._make_status_error_from_response(response)
    return openai_errors.sort(error, TEXTS, KEY)


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (400, {}, openai_errors.Refused),
        (400, {"param": "input"}, openai_errors.Refused),
        (400, {"code": "max_tokens_per_request"}, openai_errors.Refused),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, openai_errors.Refused),
        (400, {"param": "dimensions"}, openai_errors.AccountRefused),
        (400, {"message": "This model does not support specifying dimensions."}, openai_errors.AccountRefused),
        (400, {"message": "Invalid value for 'dimensions' = 4000."}, openai_errors.AccountRefused),
        (401, {}, openai_errors.AccountRefused),
        (401, {"html": True}, openai_errors.AccountRefused),
        (403, {}, openai_errors.AccountRefused),
        (404, {"code": "model_not_found"}, openai_errors.AccountRefused),
        (404, {"message": "The model `x` does not exist"}, openai_errors.AccountRefused),
        (404, {"message": "Invalid URL (POST /embeddings)"}, openai_errors.Failed),
        (404, {"html": True}, openai_errors.Failed),
        (408, {}, openai_errors.Failed),
        (409, {}, openai_errors.Failed),
        (413, {}, openai_errors.Refused),
        (422, {}, openai_errors.Refused),
        (429, {}, openai_errors.Throttled),
        (429, {"html": True}, openai_errors.Throttled),
        (429, {"code": "insufficient_quota"}, openai_errors.AccountRefused),
        (429, {"type": "insufficient_quota"}, openai_errors.AccountRefused),
        (500, {}, openai_errors.Failed),
        (502, {"html": True}, openai_errors.Failed),
        (503, {}, openai_errors.Failed),
    ],
)
def test_statuses_are_sorted_by_what_is_to_be_done(status: int, fields: dict[str, Any], kind: type) -> None:
    assert type(refusal(status, **fields)) is kind


def test_a_429_says_how_long_and_which_limit() -> None:
    headers = {
        "retry-after-ms": "2500",
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-limit-requests": "3000",
    }
    throttled = refusal(429, headers=headers, type="tokens")
    assert isinstance(throttled, openai_errors.Throttled)
    assert (throttled.seconds, throttled.tokens_exceeded, throttled.limit_per_minute) == (2.5, True, 1e6)
    throttled = refusal(429, headers=headers, type="requests")
    assert isinstance(throttled, openai_errors.Throttled)
    assert (throttled.tokens_exceeded, throttled.limit_per_minute) == (False, 3000)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"x-ratelimit-limit-requests": "5", "retry-after": "1"}, 0),  # a second's: a minute's leaves 12 s between two
        ({"x-ratelimit-limit-requests": "5", "retry-after": "12"}, 5),
        ({"x-ratelimit-limit-requests": "5"}, 0),
        ({"x-ratelimit-limit-requests": "500", "retry-after-ms": "120"}, 500),
        ({"x-ratelimit-limit-requests": "many"}, 0),
    ],
)
def test_a_limit_by_the_second_is_not_taken_for_one_by_the_minute(given: dict[str, str], limit: float) -> None:
    throttled = refusal(429, headers=given, type="requests")
    assert isinstance(throttled, openai_errors.Throttled)
    assert throttled.limit_per_minute == limit


def test_a_503_says_when_to_come_back() -> None:
    failed = refusal(503, headers={"retry-after": "7"})
    assert isinstance(failed, openai_errors.Failed)
    assert failed.seconds == 7


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid input: '{TEXTS[0]}' is not allowed",
        f"Invalid input: {TEXTS[0][:30]}… and more",
        f"Incorrect API key provided: {KEY}.",
        "Incorrect API key provided: sk-proj-abcdefghijklm.",
        "Bad: '" + "some other row that is quoted at length " * 3 + "'",
        "x" * 5_000,
    ],
)
def test_words_quote_neither_rows_nor_keys(message: str) -> None:
    words = str(refusal(400, message))
    assert len(words) <= openai_errors.WORDS
    for secret in (TEXTS[0][:24], KEY, "abcdefghijklm", "quoted at length"):
        assert secret not in words


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

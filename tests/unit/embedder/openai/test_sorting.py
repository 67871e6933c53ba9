"""Error answers of a dozen servers are sorted by what is to be done about them, in words that quote nothing."""

from typing import Any

import httpx2
import openai
import orjson
import pytest

from services.embedder.openai import errors as openai_errors
from services.embedder.openai import sorting

KEY = "sk-secret-key-000000"
TEXTS = ["the quick brown fox jumps over the lazy dog", "b"]
URL = "http://127.0.0.1/v1/embeddings"


def verdict(status: int, content: bytes, *, headers: dict[str, str] | None = None, inputs: int = 2) -> Exception:
    """The verdict on an error status, through the SDK's own reading of the body."""
    response = httpx2.Response(status, content=content, headers=headers, request=httpx2.Request("POST", URL))
    error = openai.AsyncOpenAI(api_key=KEY)._make_status_error_from_response(response)
    told = sorting.read(error.status_code, error.body, error.response.headers, URL)
    return sorting.sort(told, [*TEXTS, *["more"] * (inputs - 2)], KEY)


def refusal(
    status: int, message: str = "No.", *, headers: dict[str, str] | None = None, html: bool = False, **fields: Any
) -> Exception:
    content = b"<html>model not here</html>" if html else orjson.dumps({"error": {"message": message, **fields}})
    return verdict(status, content, headers=headers)


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (400, {}, openai_errors.Refused),
        (400, {"param": "input"}, openai_errors.Refused),
        (400, {"code": "max_tokens_per_request", "message": "max 300000 tokens per request"}, openai_errors.TooLarge),
        (400, {"message": "This model's maximum context length is 8192 tokens."}, openai_errors.Refused),
        (400, {"param": "dimensions"}, openai_errors.AccountRefused),
        (400, {"param": "model"}, openai_errors.AccountRefused),
        (400, {"type": "budget_exceeded"}, openai_errors.AccountRefused),
        (401, {}, openai_errors.AccountRefused),
        (401, {"html": True}, openai_errors.AccountRefused),
        (402, {}, openai_errors.AccountRefused),
        (403, {}, openai_errors.Refused),
        (403, {"html": True}, openai_errors.Refused),
        (403, {"code": "model_not_found"}, openai_errors.AccountRefused),
        (404, {"code": "model_not_found"}, openai_errors.AccountRefused),
        (404, {"message": "The model `x` does not exist"}, openai_errors.AccountRefused),
        (404, {"message": "Invalid URL (POST /embeddings)"}, openai_errors.AccountRefused),
        (404, {"html": True}, openai_errors.AccountRefused),
        (405, {}, openai_errors.AccountRefused),
        (408, {}, openai_errors.Failed),
        (409, {}, openai_errors.Failed),
        (410, {}, openai_errors.AccountRefused),
        (413, {}, openai_errors.TooLarge),
        (413, {"html": True}, openai_errors.TooLarge),
        (415, {}, openai_errors.AccountRefused),
        (418, {}, openai_errors.AccountRefused),
        (422, {}, openai_errors.Refused),
        (424, {}, openai_errors.Failed),
        (425, {}, openai_errors.Failed),
        (429, {}, openai_errors.Throttled),
        (429, {"html": True}, openai_errors.Throttled),
        (429, {"code": "insufficient_quota"}, openai_errors.AccountRefused),
        (429, {"type": "insufficient_quota"}, openai_errors.AccountRefused),
        (429, {"message": "No deployments available - crossed budget"}, openai_errors.AccountRefused),
        (
            429,
            {"message": "You exceeded your current quota, please check your plan"},
            openai_errors.Throttled,
        ),  # Google
        (451, {}, openai_errors.Refused),
        (500, {}, openai_errors.Failed),
        (501, {"message": "This server does not support embeddings."}, openai_errors.AccountRefused),
        (505, {}, openai_errors.AccountRefused),
        (502, {"html": True}, openai_errors.Failed),
        (503, {}, openai_errors.Failed),
    ],
)
def test_statuses_are_sorted_by_what_is_to_be_done(status: int, fields: dict[str, Any], kind: type) -> None:
    assert type(refusal(status, **fields)) is kind


def test_what_is_configuration_is_told_with_status_url_and_the_providers_words() -> None:
    words = str(refusal(404, "The API deployment for this resource does not exist.", code="DeploymentNotFound"))
    assert words == f"HTTP 404 from {URL}: The API deployment for this resource does not exist."
    assert str(verdict(405, b"<html><title>405 Not Allowed</title></html>")).endswith(": 405 Not Allowed")


@pytest.mark.parametrize(
    ("status", "body", "limit"),
    [
        (413, {"message": "batch size 64 > maximum allowed batch size 32", "code": 413, "type": "Validation"}, 32),
        (422, {"error": "batch size 2048 > maximum allowed batch size 32", "error_type": "Validation"}, 32),
        (413, {"code": 20042, "message": "input batch size 136 > maximum allowed batch size 64", "data": None}, 64),
        (400, {"message": "invalid request: total number of texts must be at most 96 - received 131"}, 96),
        (
            400,
            {"error": {"message": "Value error, batch size is invalid, it should not be larger than 10."}},
            10,
        ),
        (
            400,
            [{"error": {"message": "BatchEmbedContents: at most 100 requests can be in one batch"}}],
            100,
        ),
        (400, {"error": {"message": "Invalid 'input': array length must be 128 or less."}}, 128),
        (400, {"error": {"message": "Too many inputs. The max number of inputs is 1."}}, 1),
        (422, {"detail": [{"loc": ["body", "input"], "msg": "List should have at most 10 items: too many items"}]}, 10),
        (400, {"error": {"message": "max 96 inputs"}}, 96),
        (422, {"detail": [{"msg": "List should have at most 50 items after validation, not 2048"}]}, 50),
        (413, "<html><title>413 Request Entity Too Large</title></html>", 0),
        (400, {"error": {"message": "Request payload size exceeds the limit: 4194304 bytes."}}, 0),
    ],
)
def test_a_limit_on_the_inputs_is_read_from_the_words(status: int, body: Any, limit: int) -> None:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    found = verdict(status, content, inputs=2_048)
    assert isinstance(found, openai_errors.TooLarge)
    assert (found.inputs, found.tokens) == (limit, 0)


def test_a_limit_on_the_tokens_is_read_from_the_words() -> None:
    found = refusal(400, "Requested 310000 tokens, max 300000 tokens per request", code="max_tokens_per_request")
    assert isinstance(found, openai_errors.TooLarge)
    assert (found.inputs, found.tokens) == (0, 300_000)


def test_one_text_that_is_too_long_is_no_limit_of_the_batch() -> None:
    found = verdict(413, orjson.dumps({"message": "`inputs` must have less than 512 tokens. Given: 700", "code": 413}))
    assert isinstance(found, openai_errors.TooLarge)
    assert (found.inputs, found.tokens) == (0, 0)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "The server is overloaded", "code": 503}}, openai_errors.Failed),
        ({"error": {"message": "Rate limit reached"}}, openai_errors.Throttled),
        ({"error": {"message": "slow down", "code": "429"}}, openai_errors.Throttled),
        ({"error": {"message": "You have no credit", "code": 402}}, openai_errors.AccountRefused),
        ({"error": {"message": "Invalid API key", "code": "invalid_api_key"}}, openai_errors.AccountRefused),
        ({"error": "API key not valid"}, openai_errors.Refused),
        ({"error": {"message": "batch size 64 > maximum allowed batch size 32"}}, openai_errors.TooLarge),
        ({"error": {"message": "Something broke"}}, openai_errors.Failed),
        ({"object": "error", "message": "dimensions is not supported", "code": 400}, openai_errors.Refused),
    ],
)
def test_an_error_in_a_200_is_sorted_by_its_words(body: Any, kind: type) -> None:
    assert type(sorting.sort(sorting.read(200, body, {}, URL), ["x"] * 100, KEY)) is kind


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
    assert not throttled.too_large


@pytest.mark.parametrize(
    ("words", "excess", "limit"),
    [
        ("Limit 40000, Requested 100000", 2.5, 40_000),
        ("Request too large on tokens per min (TPM): Limit 40,000, Requested 60,000.", 1.5, 40_000),
        ("on tokens per min (TPM): Limit 40000, Used 39000, Requested 2000. Please try again in 1.5s.", 0, 0),
        ("on requests per min (RPM): Limit 3, Used 3, Requested 1.", 0, 0),
        ("on tokens per day (TPD): Limit 40000, Requested 60000.", 1.5, 0),
        ("Too Many Requests", 0, 0),
    ],
)
def test_a_429_may_say_that_the_request_alone_is_over_the_limit(words: str, excess: float, limit: float) -> None:
    throttled = refusal(429, words)
    assert isinstance(throttled, openai_errors.Throttled)
    assert (throttled.excess, throttled.limit_per_minute) == (excess, limit)
    assert throttled.too_large is (excess > 0)


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
@pytest.mark.parametrize("status", [400, 401, 500])
def test_words_quote_neither_rows_nor_keys(message: str, status: int) -> None:
    words = str(refusal(status, message))
    assert len(words) <= sorting.WORDS + 60
    for secret in (TEXTS[0][:24], KEY, "abcdefghijklm", "quoted at length"):
        assert secret not in words


def test_a_failure_has_words_for_those_whose_texts_these_were_not() -> None:
    found = refusal(500, "failed to tokenize 'Müller, A.'")
    assert isinstance(found, openai_errors.Failed)
    assert "Müller" in str(found)  # of which its own task hears
    assert found.brief == "OpenAI answers HTTP 500."
    for kind in (openai_errors.Unanswered, openai_errors.TimedOut, openai_errors.Invalid, openai_errors.Failed):
        assert "Müller" not in kind("Müller").brief


def test_half_a_character_in_a_servers_words_can_be_told() -> None:
    body = b'{"error": {"message": "no emoji: \\ud83d"}}'
    assert str(verdict(500, body)).encode() == b"HTTP 500: no emoji: ?"

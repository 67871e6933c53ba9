"""What a request may ask for, and the words of each refusal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sandbox.openai import errors, limits, settings, tokens

MODEL = "text-embedding-3-small"
INVALID_INPUT = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."


def read(counting: limits.Counting = limits.Counting.EXACT, **fields: Any) -> limits.Order:
    return limits.read(orjson.dumps({"model": MODEL, "input": "a", **fields}), counting)


def refused(counting: limits.Counting = limits.Counting.EXACT, **fields: Any) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        read(counting, **fields)
    return caught.value


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([9906, 1917], ["Hello world"]),
        ([[9906], [1917]], ["Hello", " world"]),
    ],
)
def test_the_four_forms_of_input(given: Any, texts: list[str]) -> None:
    assert read(input=given).texts == texts


def test_usage_is_what_tiktoken_counts() -> None:
    assert read(input=["Hello world", "<|endoftext|>"]).token_count == 2 + 7
    assert read(input=[[1, 2, 3], [4]]).token_count == 4


def test_an_estimate_takes_four_bytes_a_token() -> None:
    assert read(limits.Counting.ESTIMATE, input=["abcdefgh", "a"]).token_count == 3


@pytest.mark.parametrize(
    "given",
    ["", [], [""], ["a", ""], [1.5], [True], ["a", 1], [[]], [[1], []], [["a"]], {}, 7, [-1], [100_256], [2**40]],
)
def test_input_that_cannot_be_embedded(given: Any) -> None:
    error = refused(input=given)
    assert (error.status, error.message, error.code) == (400, INVALID_INPUT, None)


def test_2048_inputs_pass_and_2049_do_not() -> None:
    assert len(read(input=["a"] * 2048).texts) == 2048
    assert refused(input=["a"] * 2049).message == "Invalid 'input': array length must be 2048 or less."


@pytest.mark.parametrize("counting", limits.Counting)
def test_8192_tokens_pass_and_8193_do_not(counting: limits.Counting) -> None:
    assert read(counting, input=["a", " a" * 8192]).texts
    error = refused(counting, input=["a", " a" * 8193])
    assert error.message == "Invalid 'input[1]': maximum input length is 8192 tokens."
    assert refused(counting, input=" a" * 8193).message == "Invalid 'input': maximum context length is 8192 tokens."
    assert refused(counting, input=[1] * 8193).message == "Invalid 'input': maximum context length is 8192 tokens."
    assert refused(counting, input="a" * 2_000_000).status == 400


def test_300_000_tokens_pass_and_one_more_does_not() -> None:
    assert read(input=[" a" * 7500] * 40).token_count == 300_000
    error = refused(input=[" a" * 7500] * 40 + ["a"])
    assert error.message == "Requested 300001 tokens, max 300000 tokens per request"
    assert (error.status, error.type, error.code) == (400, "max_tokens_per_request", "max_tokens_per_request")


@pytest.mark.parametrize(
    ("model", "dimensions", "message"),
    [
        (MODEL, 1537, "Invalid value for 'dimensions' = 1537. Must be less than or equal to 1536."),
        ("text-embedding-3-large", 3073, "Invalid value for 'dimensions' = 3073. Must be less than or equal to 3072."),
        ("text-embedding-ada-002", 1536, "This model does not support specifying dimensions."),
        (MODEL, 0, "Invalid 'dimensions': integer below minimum value. Expected a value >= 1, but got 0 instead."),
        (MODEL, "5", "Invalid type for 'dimensions': expected an integer, but got a string instead."),
    ],
)
def test_dimensions_out_of_range(model: str, dimensions: Any, message: str) -> None:
    assert refused(model=model, dimensions=dimensions).message == message


def test_other_refusals() -> None:
    assert refused(model=None).message == "you must provide a model parameter"
    assert (refused(model="gpt").status, refused(model="gpt").code) == (404, "model_not_found")
    assert refused(input=None).code == "missing_required_parameter"
    assert refused(encoding_format="hex").param == "encoding_format"
    for body in (b"{", b"[]", b'{"input": "\\ud800"}'):
        with pytest.raises(errors.ApiError, match="could not parse"):
            limits.read(body, limits.Counting.EXACT)


def test_no_token_has_more_bytes_than_the_bound_says() -> None:
    assert max(map(len, tokens.encoding().token_byte_values())) == tokens.LONGEST_TOKEN_BYTES


def test_an_error_body_has_the_four_fields() -> None:
    body = orjson.loads(errors.wrong_key("sk-abcdefghijklmnop").body())
    assert body == {
        "error": {
            "message": "Incorrect API key provided: sk-a***********mnop. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


def test_flags_win_over_the_environment() -> None:
    found = settings.read(
        ["--port", "7"],
        {"SANDBOX_OPENAI_PORT": "8", "SANDBOX_OPENAI_COUNT_TOKENS": "estimate", "OPENAI_API_KEY_EXPECTED": "k"},
    )
    assert (found.port, found.count_tokens, found.api_key) == (7, limits.Counting.ESTIMATE, "k")


@pytest.mark.parametrize("arguments", [["--port", "-1"], ["--requests-per-second", "nan"], ["--threads", "0"]])
def test_a_wrong_value_ends_the_start(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        settings.read(arguments, {})

"""OpenAI's error bodies, word for word where their wording is on public record.

Every refusal of the API is one :class:`ApiError`; the application turns it into a response in one place.
The shape is ``{"error": {"message", "type", "param", "code"}}`` (https://platform.openai.com/docs/guides/error-codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

KEYS_PAGE: Final = "https://platform.openai.com/account/api-keys"
REFERENCE: Final = "https://platform.openai.com/docs/api-reference"
_SHOWN_OF_A_KEY: Final = 4  # characters that stay readable at each end of a wrong key
_SHORTEST_SHOWN_KEY: Final = 12  # characters; a shorter key is masked completely


class ApiError(Exception):
    """A request that is answered with an error.

    ``status`` is the HTTP status; ``headers`` are sent along with the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - the name of the field in the body
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers: dict[str, str] = dict(headers or {})

    def body(self) -> bytes:
        """Return the JSON document of the answer, UTF-8."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def missing_key() -> ApiError:
    """No ``Authorization: Bearer`` header came with the request (the real API sends no code for it)."""
    return ApiError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing "
        f"the API from your browser and are prompted for a username and password. You can obtain an API key from "
        f"{KEYS_PAGE}.",
    )


def wrong_key(key: str) -> ApiError:
    """The key is not the expected one; the message shows its ends only, as the real one does."""
    shown = "*" * len(key)
    if len(key) >= _SHORTEST_SHOWN_KEY:
        shown = key[:_SHOWN_OF_A_KEY] + "*" * (len(key) - 2 * _SHOWN_OF_A_KEY) + key[-_SHOWN_OF_A_KEY:]
    message = f"Incorrect API key provided: {shown}. You can find your API key at {KEYS_PAGE}."
    return ApiError(401, message, code="invalid_api_key")


def unparsable() -> ApiError:
    """The body is not JSON, or not an object."""
    return ApiError(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
        "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble "
        "figuring out how to fix this, please contact us through our help center at help.openai.com.)",
    )


def missing_model() -> ApiError:
    """The body names no model."""
    return ApiError(400, "you must provide a model parameter")


def unknown_model(name: str) -> ApiError:
    """No such model, asked for in an embeddings request."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def unlisted_model(name: str) -> ApiError:
    """No such model, asked for by ``GET /v1/models/{id}``."""
    return ApiError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")


def invalid_input() -> ApiError:
    """``input`` has a type, or holds an element (an empty string, say), that cannot be embedded."""
    return ApiError(400, f"'$.input' is invalid. Please check the API reference: {REFERENCE}.")


def missing_input() -> ApiError:
    """The body has no ``input``."""
    message = "Missing required parameter: 'input'."
    return ApiError(400, message, param="input", code="missing_required_parameter")


def input_too_long(position: int | None, most_tokens: int) -> ApiError:
    """One input has too many tokens; ``position`` is its place in the array, None if ``input`` was no array."""
    if position is None:
        return ApiError(400, f"Invalid 'input': maximum context length is {most_tokens} tokens.")
    return ApiError(400, f"Invalid 'input[{position}]': maximum input length is {most_tokens} tokens.")


def request_too_long(tokens: int, most_tokens: int) -> ApiError:
    """All inputs together have too many tokens."""
    message = f"Requested {tokens} tokens, max {most_tokens} tokens per request"
    return ApiError(400, message, type="max_tokens_per_request", code="max_tokens_per_request")


def dimensions_unsupported() -> ApiError:
    """The model cannot shorten its vectors."""
    return ApiError(400, "This model does not support specifying dimensions.")


def dimensions_not_an_integer(value: object) -> ApiError:
    """``dimensions`` is no integer."""
    kind = {str: "a string", float: "a decimal number", bool: "a boolean", list: "an array"}.get(
        type(value), "an object"
    )
    message = f"Invalid type for 'dimensions': expected an integer, but got {kind} instead."
    return ApiError(400, message, param="dimensions", code="invalid_type")


def dimensions_too_small(value: int) -> ApiError:
    """``dimensions`` is below one."""
    message = f"Invalid 'dimensions': integer below minimum value. Expected a value >= 1, but got {value} instead."
    return ApiError(400, message, param="dimensions", code="integer_below_min_value")


def dimensions_too_large(value: int, most: int) -> ApiError:
    """``dimensions`` is above the width of the model."""
    return ApiError(400, f"Invalid value for 'dimensions' = {value}. Must be less than or equal to {most}.")


def unknown_format(value: object) -> ApiError:
    """``encoding_format`` is neither float nor base64."""
    message = f"Invalid value: '{value}'. Supported values are: 'float' and 'base64'."
    return ApiError(400, message, param="encoding_format", code="invalid_value")


def unknown_url(method: str, path: str) -> ApiError:
    """No route has this path."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    """The path exists, for another method."""
    message = f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
    return ApiError(405, message, code="method_not_supported")


def too_large() -> ApiError:
    """The body has more bytes than the server reads."""
    return ApiError(413, "Request body too large.")


def server_error() -> ApiError:
    """The 500 of the real API."""
    return ApiError(
        500,
        "The server had an error while processing your request. Sorry about that!",
        type="server_error",
    )


def overloaded() -> ApiError:
    """The 503 of the real API."""
    return ApiError(503, "The engine is currently overloaded, please try again later", type="overloaded")


def no_quota() -> ApiError:
    """The account has no credit left; waiting does not help."""
    return ApiError(
        429,
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        type="insufficient_quota",
        code="insufficient_quota",
    )


def no_access(model: str) -> ApiError:
    """The project of the key may not use the model (403)."""
    message = f"Project `proj_sandbox` does not have access to model `{model}`"
    return ApiError(403, message, code="model_not_found")


def budget_exceeded() -> ApiError:
    """LiteLLM's 400 for a key that has spent what it may."""
    message = "Budget has been exceeded! Current cost: 9.76, Max budget: 9.75"
    return ApiError(400, message, type="budget_exceeded", code="400")


def key_not_valid() -> ApiError:
    """Google's 400 for a key that was revoked or has run out."""
    return ApiError(400, "API key not valid. Please pass a valid API key.")


def batch_too_large() -> ApiError:
    """What servers say to more inputs than they take, the number left out (413)."""
    return ApiError(413, "The batch size exceeds the maximum allowed batch size.", type="Validation")


def not_a_number() -> ApiError:
    """Ollama's 500 for a text whose embedding comes out as NaN, every time."""
    return ApiError(500, "failed to encode response: json: unsupported value: NaN", type="api_error")

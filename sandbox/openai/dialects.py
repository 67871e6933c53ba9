"""Other servers with OpenAI's embeddings API: where they differ from it, by their documentation and their issues.

Each takes any model's name, unless it says so; where one version is more generous than another, the stricter is here.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Final

import orjson

from sandbox.openai import catalogue, errors


class Treatment(enum.StrEnum):
    """What becomes of an optional parameter."""

    TAKEN = "taken"
    IGNORED = "ignored"
    REFUSED = "refused"


def _openais(error: errors.ApiError) -> bytes:
    return error.body()


def _flat(error: errors.ApiError) -> bytes:
    """TEI: https://huggingface.github.io/text-embeddings-inference (OpenAICompatErrorResponse)."""
    return orjson.dumps({"message": error.message, "code": error.status, "type": error.type})


def _object(error: errors.ApiError) -> bytes:
    """VLLM before 0.10.2, as its users report it."""
    body = {"object": "error", "message": error.message, "type": error.type, "param": None, "code": error.status}
    return orjson.dumps(body)


def _coded(error: errors.ApiError) -> bytes:
    """LocalAI: the code is the status."""
    return orjson.dumps({"error": {"code": error.status, "message": error.message, "type": error.type}})


def _listed(error: errors.ApiError) -> bytes:
    """Google: a list, with a status in words; 401 does not occur."""
    inner = {"code": error.status, "message": error.message, "status": "INVALID_ARGUMENT"}
    return orjson.dumps([{"error": inner}])


def _message(error: errors.ApiError) -> bytes:
    """Cohere."""
    return orjson.dumps({"id": "sandbox", "message": error.message})


def _refusal(status: int, message: str, kind: str = "invalid_request_error") -> Callable[..., errors.ApiError]:
    def refuse(**given: Any) -> errors.ApiError:
        return errors.ApiError(status, message.format(**given), type=kind)

    return refuse


_TOO_MANY: Final = _refusal(400, "Invalid 'input': array length must be {most} or less.")
_NO_DIMENSIONS: Final = _refusal(400, "This model does not support specifying dimensions.")
_NO_BASE64: Final = _refusal(400, "encoding_format is not supported.")


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """One server's way.

    Attributes:
        path: Of the embeddings, from the root; `{deployment}` is a variable.
        model: What answers to any name; None: the three of OpenAI, by theirs.
        most_inputs: In one request; 0: no limit.
        too_many: The refusal of more, from `count` and `most`.
        most_tokens: Of one input.
        too_long: The refusal of more, from `count` and `most`.
        no_dimensions: The refusal of `dimensions`, where it is refused.
        no_base64: The refusal of `encoding_format`, where it is refused.
        form: How errors are written.
        hides_zero: An index of 0 is left out, as protobuf's JSON does.
        key_header: Where the key is; Azure's is `api-key`.
        needs_version: `api-version` must be in the query.
    """

    path: str = "/v1/embeddings"
    model: catalogue.Model | None = None
    most_inputs: int = 2_048
    too_many: Callable[..., errors.ApiError] = _TOO_MANY
    most_tokens: int = 8_192
    too_long: Callable[..., errors.ApiError] | None = None
    dimensions: Treatment = Treatment.TAKEN
    no_dimensions: Callable[..., errors.ApiError] = _NO_DIMENSIONS
    base64: Treatment = Treatment.TAKEN
    no_base64: Callable[..., errors.ApiError] = _NO_BASE64
    form: Callable[[errors.ApiError], bytes] = _openais
    hides_zero: bool = False
    key_header: str = "Authorization"
    needs_version: bool = False


def _own(name: str, width: int, *, shortened: bool = False) -> catalogue.Model:
    return catalogue.Model(name, width, shortened, name, 1_700_000_000, "sandbox")


OPENAI: Final = Dialect()
DIALECTS: Final[dict[str, Dialect]] = {
    "openai": OPENAI,
    "azure": Dialect(path="/openai/deployments/{deployment}/embeddings", key_header="api-key", needs_version=True),
    "vllm": Dialect(
        model=_own("BAAI/bge-m3", 1_024),
        most_inputs=0,
        too_long=_refusal(
            400,
            "This model's maximum context length is {most} tokens. However, you requested {count} tokens in the input "
            "for embedding generation. Please reduce the length of the input.",
            "BadRequestError",
        ),
        dimensions=Treatment.REFUSED,
        no_dimensions=_refusal(
            400,
            'Model "BAAI/bge-m3" does not support matryoshka representation, changing output dimensions will lead to '
            "poor results.",
            "BadRequestError",
        ),
        form=_object,
    ),
    "tei": Dialect(
        model=_own("BAAI/bge-base-en-v1.5", 768),
        most_inputs=32,
        too_many=_refusal(413, "batch size {count} > maximum allowed batch size {most}", "Validation"),
        most_tokens=512,
        too_long=_refusal(413, "`inputs` must have less than {most} tokens. Given: {count}", "Validation"),
        dimensions=Treatment.IGNORED,
        form=_flat,
    ),
    "litellm": Dialect(
        model=_own("bedrock-titan", 1_024),
        dimensions=Treatment.REFUSED,
        no_dimensions=_refusal(
            400,
            "litellm.UnsupportedParamsError: Setting dimensions is not supported for OpenAI `text-embedding-3` and "
            "later models. To drop it from the call, set `litellm.drop_params = True`.",
            "None",
        ),
    ),
    "ollama": Dialect(
        model=_own("nomic-embed-text", 768),
        most_inputs=0,
        dimensions=Treatment.IGNORED,
        base64=Treatment.IGNORED,
    ),
    "localai": Dialect(
        model=_own("bert-embeddings", 768),
        most_inputs=0,
        most_tokens=512,
        too_long=_refusal(
            500,
            "rpc error: code = Internal desc = input is too large to process. increase the physical batch size",
            "",
        ),
        dimensions=Treatment.IGNORED,
        base64=Treatment.IGNORED,
        form=_coded,
    ),
    "gemini": Dialect(
        path="/v1beta/openai/embeddings",
        model=_own("gemini-embedding-001", 3_072, shortened=True),
        most_inputs=100,
        too_many=_refusal(400, "* BatchEmbedContentsRequest.requests: at most {most} requests can be in one batch\n"),
        base64=Treatment.REFUSED,
        no_base64=_refusal(400, "Request contains an invalid argument."),
        form=_listed,
        hides_zero=True,
    ),
    "cohere": Dialect(
        path="/compatibility/v1/embeddings",
        model=_own("embed-v4.0", 1_536),
        most_inputs=96,
        too_many=_refusal(400, "invalid request: total number of texts must be at most {most} - received {count}"),
        dimensions=Treatment.REFUSED,
        form=_message,
    ),
    "dashscope": Dialect(
        path="/compatible-mode/v1/embeddings",
        model=_own("text-embedding-v4", 1_024, shortened=True),
        most_inputs=10,
        too_many=_refusal(
            400,
            "<400> InternalError.Algo.InvalidParameter: Value error, batch size is invalid, it should not be larger "
            "than {most}.: input.contents",
            "InvalidParameter",
        ),
        base64=Treatment.IGNORED,
    ),
}


def deployment_not_found() -> errors.ApiError:
    """Azure: the path names no deployment."""
    return errors.ApiError(
        404,
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
        "please wait a moment and try again.",
        code="DeploymentNotFound",
    )


def resource_not_found() -> errors.ApiError:
    """Azure: the query names no version of the API."""
    return errors.ApiError(404, "Resource not found", code="404")

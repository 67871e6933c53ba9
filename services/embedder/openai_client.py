"""OpenAI's embeddings, asked for as base64 and checked before they are used.

The SDK's own retries are off: one place retries (`purchasing`). Every failure becomes one of five, by what is to be
done about it.
"""

from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
import openai
import orjson
import pybase64

from services.embedder import quota, settings

# A 400 about one of these is about our configuration: bisecting would fail every row for it.
OUR_PARAMETERS = frozenset({"dimensions", "model", "encoding_format"})


class Refused(Exception):
    """400: the provider refuses this content; bisecting finds the text."""


class AccountRefused(Exception):
    """401, 403, unknown model, insufficient_quota: it concerns the account, not the content."""


class Throttled(Exception):
    """429: too fast. `seconds` is how long to pause, `tokens_exceeded` which limit it was."""

    def __init__(self, seconds: float, *, tokens_exceeded: bool) -> None:
        super().__init__(f"asked to pause for {seconds:.1f} s")
        self.seconds = seconds
        self.tokens_exceeded = tokens_exceeded


class Failed(Exception):
    """5xx, a timeout, a dropped connection: the same request may succeed later. `seconds`: not before, if said."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Invalid(Failed):
    """A 200 that is no answer: not one embedding an input, a wrong dimension, NaN, zeros, no JSON."""


class OpenAI:
    """A client for one model and dimension."""

    def __init__(self, embedding: settings.EmbeddingSettings, connections: int) -> None:
        self.model = embedding.openai_model
        self.dimension = embedding.embedding_dimensions
        self._client = openai.AsyncOpenAI(
            api_key=embedding.openai_api_key.get_secret_value(),
            base_url=embedding.openai_base_url,
            max_retries=0,
            timeout=httpx2.Timeout(embedding.openai_timeout_seconds, connect=5.0),
            http_client=openai.DefaultAsyncHttpxClient(
                limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
            ),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One embedding a text, in their order: float32 little-endian, `dimension` values each.

        Raises:
            Refused, AccountRefused, Throttled, Failed, Invalid: See there.
        """
        extra: dict[str, Any] = {} if self.model.endswith("ada-002") else {"dimensions": self.dimension}
        try:
            answer = await self._client.embeddings.with_raw_response.create(
                model=self.model, input=list(texts), encoding_format="base64", **extra
            )
            body = answer.http_response.content
        except openai.APIStatusError as error:
            raise _sort(error) from error
        except (openai.APIError, httpx2.HTTPError) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        return decode(body, len(texts), self.dimension)


def decode(body: bytes, count: int, dimension: int) -> list[bytes]:
    """The embeddings in a response body, checked: one an input, ordered by `index`, finite, not all zero.

    Raises:
        Invalid: Any of that does not hold.
    """
    try:
        data = orjson.loads(body)["data"]
        by_index = {item["index"]: item["embedding"] for item in data}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Invalid("The answer is not an embeddings response.") from error
    if len(data) != count or any(index not in by_index for index in range(count)):
        raise Invalid(f"{len(data)} embeddings came for {count} inputs.")
    try:
        vectors = [_vector(by_index[index]) for index in range(count)]
    except (ValueError, TypeError) as error:
        raise Invalid("An embedding is neither base64 nor a list of numbers.") from error
    if any(len(vector) != 4 * dimension for vector in vectors):
        raise Invalid(f"Embeddings of {len(vectors[0]) // 4} values came where {dimension} were asked for.")
    values = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(count, dimension)
    if not np.isfinite(values).all():
        raise Invalid("An embedding holds NaN or infinity.")
    if not values.any(axis=1).all():
        raise Invalid("An embedding is all zero.")
    return vectors


def _vector(embedding: object) -> bytes:
    if isinstance(embedding, str):
        return pybase64.b64decode(embedding, validate=True)
    return np.asarray(embedding, dtype="<f4").tobytes()  # a server that ignores encoding_format


def _sort(error: openai.APIStatusError) -> Exception:
    """What is to be done about an error status (platform.openai.com/docs/guides/error-codes)."""
    status, words = error.status_code, _words(error)
    if status in {401, 403} or (status == 404 and "model" in words.lower()) or error.code == "insufficient_quota":
        return AccountRefused(words)
    if status == 400 and error.param in OUR_PARAMETERS:
        return AccountRefused(words)
    headers = error.response.headers
    if status == 429:
        return Throttled(quota.pause_seconds(headers), tokens_exceeded=error.type == "tokens")
    if status in {400, 413, 422}:
        return Refused(words)
    return Failed(f"HTTP {status}: {words}", quota.retry_after_seconds(headers) or 0.0)


def _words(error: openai.APIStatusError) -> str:
    """The provider's own sentence, cut: it may quote the input."""
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])[:300]
    return f"HTTP {error.status_code}"

"""OpenAI's embeddings, asked for as base64 and checked before they are used.

The SDK's own retries are off: one place retries (`fulfilment`). Every failure becomes one of five, by what is to be
done about it; see `openai_errors` for the sorting.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
import openai
import orjson
import pybase64

from services.embedder import openai_errors, settings
from services.embedder.openai_errors import AccountRefused, Failed, Invalid
from services.runtime import secrets

# What is asked to learn whether an account, a model and their parameters are good; bought at most once a minute.
PROBE_TEXT = "Is this account good again?"
PROBE_TOKENS = 6
# A larger answer is decoded in a thread: 2,048 embeddings of 1,536 values take 60 ms.
INLINE_BYTES = 200_000
# So many answers of another width in a row are no accident: each was paid for.
WRONG_WIDTHS = 5


class OpenAI:
    """A client for one model and dimension."""

    def __init__(self, embedding: settings.EmbeddingSettings, connections: int) -> None:
        self.model = embedding.openai_model
        self.dimension = embedding.embedding_dimensions
        self._deadline_seconds = embedding.openai_timeout_seconds
        self._key = embedding.openai_api_key
        self._wrong_widths = 0
        self._client = openai.AsyncOpenAI(
            api_key="sent with each request",  # since it may be rotated
            base_url=embedding.openai_base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._deadline_seconds, connect=min(5.0, self._deadline_seconds)),
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
        body = await self._ask(texts)
        try:
            if len(body) > INLINE_BYTES:
                vectors = await asyncio.to_thread(decode, body, len(texts), self.dimension)
            else:
                vectors = decode(body, len(texts), self.dimension)
        except openai_errors.WrongWidth as wrong:
            self._wrong_widths += 1
            if self._wrong_widths >= WRONG_WIDTHS:
                raise AccountRefused(f"{wrong} The model or EMBEDDING_DIMENSIONS is wrong.") from wrong
            raise
        self._wrong_widths = 0
        return vectors

    async def _ask(self, texts: Sequence[str]) -> bytes:
        extra: dict[str, Any] = {} if self.model.endswith("ada-002") else {"dimensions": self.dimension}
        key = self._key.get_secret_value()
        try:
            # The SDK's timeout is one between two bytes: a server that drips would hold the request for ever.
            async with asyncio.timeout(self._deadline_seconds):
                answer = await self._client.embeddings.with_raw_response.create(
                    model=self.model,
                    input=list(texts),
                    encoding_format="base64",
                    extra_headers={"Authorization": f"Bearer {key}"},
                    **extra,
                )
                return answer.http_response.content
        except openai.APIStatusError as error:
            if error.status_code in {401, 403} and await secrets.renewed(self._key, key):
                raise Failed("The key was rotated.") from None  # tried again, with the new one
            raise openai_errors.sort(error, texts, key) from None  # its words may quote the input
        except (openai.APIError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise Failed(f"{type(cause).__name__}: {openai_errors.without(str(cause), texts, key)}") from None
        except TimeoutError:
            raise Failed(f"No answer within {self._deadline_seconds:g} s.") from None


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
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid("An embedding is neither base64 nor a list of numbers.") from error
    widths = {len(vector) for vector in vectors} - {4 * dimension}
    if widths:
        raise openai_errors.WrongWidth(
            f"Embeddings of {widths.pop() / 4:g} values came where {dimension} were asked for."
        )
    values = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(count, dimension)
    if not np.isfinite(values).all():
        raise Invalid("An embedding holds NaN or infinity.")
    if not values.any(axis=1).all():
        raise Invalid("An embedding is all zero.")
    return vectors


def _vector(embedding: object) -> bytes:
    if isinstance(embedding, str):
        return pybase64.b64decode(embedding, validate=True)
    if not isinstance(embedding, list):
        raise TypeError(type(embedding).__name__)
    with np.errstate(over="ignore"):  # becomes infinity, which is refused below
        return np.asarray(embedding, dtype="<f4").tobytes()  # a server that ignores encoding_format

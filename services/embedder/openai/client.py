"""OpenAI's embeddings, asked for as base64 and checked before they are used.

The SDK's own retries are off: one place retries (`buying.request_attempts`). Every failure becomes one of five, by what
is to be done about it; see `errors` for the sorting.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import orjson

from services.embedder import settings
from services.embedder.openai import answers
from services.embedder.openai import errors as openai_errors
from services.embedder.openai.errors import AccountRefused, Failed
from services.runtime import secrets, stages

# What is asked to learn whether an account, a model and their parameters are good; bought at most once a minute.
PROBE_TEXT = "Is this account good again?"
PROBE_TOKENS = 6
# More JSON is parsed in a thread, one answer after the other: of a server that ignores encoding_format, it is a second
# of work, and 60 MB that become 200.
INLINE_BYTES = 1_000_000
# So many answers of another width in a row are no accident: each was paid for.
WRONG_WIDTHS = 5


class OpenAI:
    """A client for one model and dimension."""

    def __init__(self, embedding: settings.EmbeddingSettings, connections: int) -> None:
        self.model = embedding.openai_model
        # 0: the index's, which is not known yet.
        self.dimension = embedding.embedding_dimensions or 0
        self._deadline_seconds = embedding.openai_timeout_seconds
        self._key = embedding.openai_api_key
        self._wrong_widths = 0
        self._parsing = asyncio.Lock()
        self._client = openai.AsyncOpenAI(
            api_key="sent with each request",  # since it may be rotated
            base_url=embedding.openai_base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._deadline_seconds, connect=min(5.0, self._deadline_seconds)),
            # aiohttp's parser is C: a response of 8 MB costs 5 ms in place of 23.
            http_client=openai.DefaultAioHttpClient(
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
        if not self.dimension:
            raise Failed("The index has not yet been asked for its dimension.")
        try:
            decoder = await self._ask(texts)
            if decoder.unparsed_bytes > INLINE_BYTES:
                async with self._parsing:
                    vectors = await stages.to_thread(decoder.finish)
            else:
                vectors = decoder.finish()
        except openai_errors.WrongWidth as wrong:
            self._wrong_widths += 1
            if self._wrong_widths >= WRONG_WIDTHS:
                raise AccountRefused(f"{wrong} The model or EMBEDDING_DIMENSIONS is wrong.") from wrong
            raise
        self._wrong_widths = 0
        return vectors

    async def _ask(self, texts: Sequence[str]) -> answers.Decoder:
        """Send the texts; the answer is decoded as it comes, whole it would be 17 MB of which 12 are kept."""
        question: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "base64"}
        if not self.model.endswith("ada-002"):
            question["dimensions"] = self.dimension
        key = self._key.get_secret_value()
        try:
            # The SDK's timeout is one between two bytes: a server that drips would hold the request for ever.
            async with asyncio.timeout(self._deadline_seconds):
                # The SDK's own call for a body that is ready: `embeddings.create` walks through every text first.
                answer: Any = await self._client.post(
                    "/embeddings",
                    cast_to=httpx2.Response,
                    content=orjson.dumps(question),
                    options={"headers": {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}},
                    stream=True,
                    stream_cls=openai.AsyncStream[Any],
                )
                decoder = answers.Decoder(len(texts), self.dimension)
                async with contextlib.aclosing(answer), contextlib.aclosing(answer.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        decoder.feed(piece)
                return decoder
        except openai.APIStatusError as error:
            if error.status_code in {401, 403} and await secrets.renewed(self._key, key):
                raise Failed("The key was rotated.") from None  # tried again, with the new one
            raise openai_errors.sort(error, texts, key) from None  # its words may quote the input
        except (openai.APIError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise Failed(f"{type(cause).__name__}: {openai_errors.without(str(cause), texts, key)}") from None
        except TimeoutError:
            raise Failed(f"No answer within {self._deadline_seconds:g} s.") from None

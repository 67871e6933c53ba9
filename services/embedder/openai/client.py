"""OpenAI's embeddings, asked for as base64 and checked before they are used.

The SDK's own retries are off: one place retries (`buying.request_attempts`). Every failure becomes one of `errors`, by
what is to be done about it; `sorting` decides which, `parameters` what is sent besides model and texts.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import httpx2
import openai
import orjson

from services.embedder import settings
from services.embedder.openai import answers, connections, sorting
from services.embedder.openai import errors as openai_errors
from services.embedder.openai import parameters as optional
from services.embedder.openai.errors import AccountRefused, Adapted, Failed
from services.runtime import secrets, stages

# What is asked to learn whether an account, a model and their parameters are good; bought at most once a minute.
PROBE_TEXT = "Is this account good again?"
PROBE_TOKENS = 6
# More JSON is parsed in a thread, one answer after the other: of a server that ignores encoding_format, it is a second
# of work, and 60 MB that become 200.
INLINE_BYTES = 1_000_000


class OpenAI:
    """A client for one model and dimension.

    Args:
        embedding: The account and the model.
        connections: At once, at most.
        heard: Told the headers of each good answer.
    """

    def __init__(
        self,
        embedding: settings.EmbeddingSettings,
        connections: int,
        heard: Callable[[Mapping[str, str]], object] | None = None,
    ) -> None:
        self._heard = heard
        self.model = embedding.openai_model
        # 0: the index's, which is not known yet.
        self.dimension = embedding.embedding_dimensions or 0
        self._deadline_seconds = embedding.openai_timeout_seconds
        self._key = embedding.openai_api_key
        self._version = embedding.openai_api_version
        self._parameters = optional.Parameters(
            self.model, embedding.openai_send_dimensions, chosen=embedding.embedding_dimensions is not None
        )
        self._parsing = asyncio.Lock()
        # Where embeddings are made; a redirect may move it. What the base URL has behind a ? goes with each request.
        self._path = "/embeddings"
        base = embedding.openai_base_url and urllib.parse.urlsplit(embedding.openai_base_url)
        self._query = dict(urllib.parse.parse_qsl(base.query)) if base else {}
        if self._version:
            self._query["api-version"] = self._version
        self._client = openai.AsyncOpenAI(
            api_key="sent with each request",  # since it may be rotated
            base_url=base._replace(query="", fragment="").geturl() if base else None,
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

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        """One embedding a text, in their order: float32 little-endian, `dimension` values each.

        Raises:
            Refused, AccountRefused, Throttled, Failed and their kinds: See `errors`.
        """
        if not self.dimension:
            words = "The index has not yet been asked for its dimension."
            raise Failed(words, brief=words)
        sent = self._parameters.fields(self.dimension)
        try:
            decoder = await self._ask(texts, sent)
            if decoder.unparsed_bytes > INLINE_BYTES:
                async with self._parsing:
                    vectors = await stages.to_thread(decoder.finish)
            else:
                vectors = decoder.finish()
        except answers.ErrorInside as error:
            raise self._sorted(sorting.read(200, error.body, {}, self._where()), texts, sent) from None
        except openai_errors.WrongWidth as wrong:
            if self._parameters.widen(sent):
                raise Adapted(f"{wrong} They are asked for by `dimensions` from now on.") from wrong
            raise
        except openai_errors.Partial:
            self._parameters.prove()
            raise
        except openai_errors.Invalid as invalid:  # some servers answer nothing where base64 is asked for
            if isinstance(invalid, openai_errors.TooFew) and invalid.came:
                self._parameters.prove()
            elif self._parameters.simplify(sent, self.dimension):
                raise Adapted(f"{invalid} It is asked for with fewer parameters.") from invalid
            if isinstance(invalid, answers.NoAnswer):
                raise self._told(invalid, texts) from None
            raise
        self._parameters.prove()
        return vectors

    async def _ask(self, texts: Sequence[str], sent: dict[str, Any]) -> answers.Decoder:
        """Send the texts; the answer is decoded as it comes, whole it would be 17 MB of which 12 are kept."""
        key = self._key.get_secret_value()
        try:
            # The SDK's timeout is one between two bytes: a server that drips would hold the request for ever.
            async with asyncio.timeout(self._deadline_seconds):
                # The SDK's own call for a body that is ready: `embeddings.create` walks through every text first.
                answer: Any = await self._client.post(
                    self._path,
                    cast_to=httpx2.Response,
                    content=orjson.dumps({"model": self.model, "input": list(texts), **sent}),
                    options=self._options(key),
                    stream=True,
                    stream_cls=openai.AsyncStream[Any],
                )
                if self._heard is not None:
                    self._heard(answer.headers)
                decoder = answers.Decoder(len(texts), self.dimension)
                async with contextlib.aclosing(answer), contextlib.aclosing(answer.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        decoder.feed(piece)
                return decoder
        except openai.APIStatusError as error:
            raise await self._verdict(error, texts, sent, key) from None  # its words may quote the input
        except (TimeoutError, openai.APIError, httpx2.HTTPError, aiohttp.ClientError) as error:
            kind, words = connections.sort(error, self._deadline_seconds)
            raise kind(sorting.without(words, texts, key)) from None

    def _options(self, key: str) -> Any:
        """Headers and query: Azure's where a version of its API is configured."""
        headers: dict[str, Any] = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        if self._version:  # the SDK's own header would carry a second, wrong key
            headers |= {"api-key": key, "Authorization": openai.Omit()}
        return {"headers": headers, "params": self._query, "follow_redirects": False}

    async def _verdict(
        self, error: openai.APIStatusError, texts: Sequence[str], sent: dict[str, Any], key: str
    ) -> Exception:
        if error.status_code in {401, 403} and await secrets.renewed(self._key, key):
            words = "The key was rotated."
            return Failed(words, brief=words)  # tried again, with the new one
        if 300 <= error.status_code < 400:
            return self._redirected(error)
        told = sorting.read(error.status_code, error.body, error.response.headers, self._where())
        return self._sorted(told, texts, sent)

    def _told(self, answer: answers.NoAnswer, texts: Sequence[str]) -> openai_errors.Invalid:
        """What came instead, in its own words: a login page has a title."""
        words = sorting.read(200, answer.body, {}).said
        safe = sorting.without(words, texts, self._key.get_secret_value())
        return openai_errors.Invalid(f'{answer} It says "{safe}".' if safe else str(answer))

    def _sorted(self, told: sorting.Told, texts: Sequence[str], sent: dict[str, Any]) -> Exception:
        """The verdict; a parameter that can be left out is, and the request is to be asked again."""
        verdict = sorting.sort(told, texts, self._key.get_secret_value())
        if told.status not in sorting.SIMPLER or isinstance(verdict, openai_errors.TooLarge):
            return verdict
        for name in sorting.OPTIONAL:
            if told.about(name) and self._parameters.drop(name, sent):
                return Adapted(f"The server refuses `{name}`, which is left out from now on: {verdict}")
        if isinstance(verdict, openai_errors.Refused) and self._parameters.simplify(sent, self.dimension):
            return Adapted(f"{verdict} It is asked for with fewer parameters.")
        return verdict

    def _redirected(self, error: openai.APIStatusError) -> Exception:
        """Follow it by hand, where the question stays the same and the key goes to nobody else."""
        asked = str(error.response.url)
        target = urllib.parse.urljoin(asked, error.response.headers.get("location", ""))
        same_host = urllib.parse.urlsplit(target).hostname == urllib.parse.urlsplit(asked).hostname
        safer = not (asked.startswith("https:") and target.startswith("http:"))
        plain = target.partition("?")[0]
        if error.status_code in {307, 308} and same_host and safer and plain != asked.partition("?")[0]:
            self._path = plain
            return Adapted(f"The server moved to {plain}.")
        return AccountRefused(
            f"HTTP {error.status_code} from {self._where()}: it redirects to {plain or 'nowhere'}; OPENAI_BASE_URL "
            "must be the address that answers."
        )

    def _where(self) -> str:
        """The URL asked, without a password or a query."""
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(str(self._client.base_url), self._path.lstrip("/")))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

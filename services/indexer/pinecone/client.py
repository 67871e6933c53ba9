"""Pinecone through its own SDK: what index there is, and nearest neighbours. The hot path is `writer`."""

import asyncio
import contextlib
import dataclasses
import re
import socket
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pinecone
import pinecone.errors
import structlog

from services.billing import spend, units
from services.indexer import settings
from services.indexer.pinecone import shape, sizes
from services.runtime import errors, secrets

log = structlog.get_logger()

# Whoever cannot reach the index asks where it is now at most so often, together with all others.
FIND_EVERY_SECONDS = 3.0
# A look whether the index answers at all takes no longer.
ANSWER_SECONDS = 2.0
# Both name the default namespace.
DEFAULT_NAME = "__default__"
DEFAULT_NAMES = frozenset({"", DEFAULT_NAME})
# "[400] words (request_id: 1f)": how the SDK prints an error of the API.
_SDK_FRAME = re.compile(r"^\[\d+\] | \(request_id: [^)]*\)$")


@dataclasses.dataclass(frozen=True)
class Index:
    """An index as the control plane describes it."""

    name: str
    # Where its data plane is: http://host:port (plaintext) or https://host.
    host: str
    # 0 when it takes no vectors of ours: `problem` then says why, and what to do.
    dimension: int
    problem: str = ""
    # cosine, dotproduct or euclidean; empty where there is a problem.
    metric: str = ""


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A match: higher scores are nearer."""

    vector_id: str
    score: float
    metadata: dict[str, Any]


def data_plane_url(host: str, controller_host: str | None) -> str:
    """The data plane's URL: it is spoken to as the controller is, in plaintext only when that is http://.

    The SDK writes https:// before a host that came bare (`localhost:5081`): behind a plaintext controller that says
    nothing, and TLS would find nobody there.
    """
    bare = host.partition("://")[2] or host
    if (controller_host or "").startswith("http://"):
        return f"http://{bare}"
    return host if "://" in host else f"https://{bare}"


async def dialled(url: str, before: str = "") -> str:
    """The URL as the SDK takes it: a name without a dot, such as a container's, it refuses unless it is an address.

    Of several addresses, whose order may change with each look, the one that was dialled before stays.
    """
    parts = urllib.parse.urlsplit(url)
    name = parts.hostname or ""
    if parts.scheme != "http" or "." in name or ":" in name or name == "localhost":
        return url
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, parts.port or 80, family=socket.AF_INET)
    except OSError as error:
        raise errors.Unavailable(f"The host {name!r} is not known now.", reason="PINECONE_UNAVAILABLE") from error
    places = [f"http://{place[4][0]}:{parts.port or 80}" for place in found]
    return before if before in places else places[0]


class Pinecone:
    """A client for one index. The SDK tries what failed again by itself; nothing here does."""

    def __init__(self, where: settings.PineconeSettings) -> None:
        self._where = where
        self._client: pinecone.AsyncPinecone | None = None
        self._key = ""  # of the client
        self._index: Index | None = None
        self._looked_at = float("-inf")
        self._data: Any = None
        self._data_host = ""  # of the data plane's client
        self._opening = asyncio.Lock()
        # A look at the control plane may take long, and what is known serves meanwhile.
        self._looking = asyncio.Lock()
        self._finding: asyncio.Task[None] | None = None
        self._sizes = sizes.Sizes(self.count)

    async def close(self) -> None:
        """Close the connections."""
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        await self._close_clients()

    async def _close_clients(self) -> None:
        if self._data is not None:
            await self._data.close()
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> pinecone.AsyncPinecone:
        """A client with the key as it is now: the SDK holds the one that it was made with."""
        key = self._where.pinecone_api_key.get_secret_value()
        if self._client is None or key != self._key:
            await self._close_clients()
            self._data, self._key = None, key
            self._client = pinecone.AsyncPinecone(api_key=key, host=self._where.pinecone_controller_host, timeout=10.0)
        return self._client

    @property
    def dimension(self) -> int:
        """Values a vector of the index; 0 before it was described, or when there is a `problem`."""
        return self._index.dimension if self._index else 0

    @property
    def host(self) -> str:
        """Where its data plane is, as far as is known; empty before it was described."""
        return self._index.host if self._index else ""

    @property
    def problem(self) -> errors.Conflict | None:
        """Why the index takes no vectors of ours, whatever is sent; None: it does, as far as is known."""
        if self._index is None or not self._index.problem:
            return None
        return errors.Conflict(self._index.problem, reason="INDEX_UNUSABLE", metadata={"index": self._index.name})

    async def index(self) -> Index:
        """The configured index, described once.

        Raises:
            errors.Unavailable: It does not exist, or the control plane does not answer.
        """
        if self._index is None:
            async with self._looking:
                if self._index is None:
                    self._index = await self._describe()
                    _tell(None, self._index)
        return self._index

    async def ask_dimension(self) -> int:
        """Values a vector of the index, which is described first if it was not yet; raises as `index` does."""
        return (await self.index()).dimension

    async def look_again(self) -> None:
        """Describe the index anew: it may have been made again, of another kind or dimension, or moved."""
        asked_at = time.monotonic()
        async with self._looking:
            if self._looked_at >= asked_at:  # one look that began since then is good for all that waited
                return
            self._looked_at = time.monotonic()
            with contextlib.suppress(errors.Unavailable):  # what was known stays
                before, self._index = self._index, await self._describe()
                _tell(before, self._index)

    def find_anew(self) -> None:
        """The index cannot be reached: begin to look where it is now, unless somebody did so a moment ago."""
        busy = self._finding is not None and not self._finding.done()
        if not busy and time.monotonic() - self._looked_at >= FIND_EVERY_SECONDS:
            self._finding = asyncio.create_task(self.look_again())

    async def _describe(self) -> Index:
        name = self._where.pinecone_index_name
        try:
            async with self._opening:
                client = await self._opened()
            found = await client.indexes.describe(name)
        except pinecone.errors.NotFoundError as error:
            words = f"The index {name!r} does not exist; `vectorline init` creates it."
            raise errors.Unavailable(words, reason="INDEX_MISSING") from error
        except pinecone.errors.PineconeError as error:
            # Callers of a search hear this: the library's own words are for the log (see `health`).
            raise errors.Unavailable("Pinecone does not answer now.", reason="PINECONE_UNAVAILABLE") from error
        if not found.host:
            words = f"The index {name!r} is still being made: Pinecone names no host for it yet."
            raise errors.Unavailable(words, reason="PINECONE_UNAVAILABLE")
        kind = shape.of(found)
        host = data_plane_url(str(found.host), self._where.pinecone_controller_host)
        return Index(name=name, host=host, dimension=kind.dimension, problem=kind.problem, metric=kind.metric)

    async def data_plane(self) -> tuple[Any, str]:
        """The SDK's client of the index, and the key that it was opened with.

        Raises:
            errors.Unavailable: The control plane does not answer, or names a host that the SDK takes for none.
        """
        host = await dialled((await self.index()).host, self._data_host)
        async with self._opening:
            client = await self._opened()
            if self._data is not None and host != self._data_host:
                await self._data.close()
                self._data = None
            if self._data is None:
                try:
                    self._data, self._data_host = await client.index(host=host), host
                except pinecone.errors.PineconeError as error:
                    words = f"Pinecone names a host for the index that cannot be dialled: {host!r}."
                    raise errors.Unavailable(words, reason="PINECONE_UNAVAILABLE") from error
            return self._data, self._key

    async def answers(self) -> bool:
        """Whether the data plane answers over REST at this moment."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):  # the SDK's own is one for each of its tries
                data, _ = await self.data_plane()
                await data.describe_index_stats()
        except (pinecone.errors.PineconeError, errors.Unavailable, TimeoutError):
            return False
        return True

    async def count(self, namespace: str) -> int:
        """Vectors in a namespace, as the index says at this moment; it may be some seconds behind its writes.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """
        data, key = await self.data_plane()
        try:
            stats = await data.describe_index_stats()
        except pinecone.errors.PineconeError as error:
            raise await self.unavailable(error, key) from error
        names = {namespace} | (DEFAULT_NAMES if namespace in DEFAULT_NAMES else set())
        return sum(found.vector_count for name, found in stats.namespaces.items() if name in names)

    async def position(self, namespace: str) -> tuple[int | None, spend.Spend]:
        """Up to where in its log queries see a namespace, and what it cost to ask; None: the index does not tell.

        https://docs.pinecone.io/guides/index-data/check-data-freshness: only a query's answer says it.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """
        vector = [1.0, *(0.0 for _ in range((await self.index()).dimension - 1))]
        answer, spent = await self._ask(vector, namespace=namespace, top_k=1, include_metadata=False)
        return answer.response_info.lsn_reconciled if answer.response_info else None, spent

    async def holds(self, namespace: str, question_id: int) -> tuple[bool, spend.Spend]:
        """Whether any vector of a question is in a namespace, and what it cost to ask. It may be behind its writes.

        Raises:
            errors.Unavailable: Pinecone does not answer.
        """
        if not await self.count(namespace):
            return False, spend.NOTHING
        data, key = await self.data_plane()
        try:
            page = await data.list_paginated(prefix=f"{question_id}.", limit=1, namespace=namespace)
        except pinecone.errors.PineconeError as error:
            raise await self.unavailable(error, key) from error
        return bool(page.vectors), spend.Spend(read_thousandths=units.WHOLE)

    async def unavailable(self, error: pinecone.errors.PineconeError, key: str) -> errors.Unavailable:
        """What a caller hears; a key that was refused is renewed."""
        if getattr(error, "status_code", 0) in {401, 403}:
            await self.renew_key(key)
        return errors.Unavailable("Pinecone does not answer now.", retry_seconds=1.0)

    async def renew_key(self, refused: str) -> None:
        """The key was refused: who asks again sends the new one, if there is one."""
        await secrets.renewed(self._where.pinecone_api_key, refused)

    async def query(
        self, vector: list[float], *, namespace: str, top_k: int, metadata_filter: Mapping[str, Any] | None
    ) -> tuple[list[Neighbour], spend.Spend]:
        """The vectors nearest to `vector` in a namespace, best first, and what it cost to ask.

        Raises:
            errors.InvalidArgument: Pinecone refuses the question, e.g. its filter.
            errors.Unavailable: Pinecone does not answer.
        """
        answer, spent = await self._ask(
            vector, namespace=namespace, top_k=top_k, filter=metadata_filter or None, include_metadata=True
        )
        found = [Neighbour(match.id, match.score, dict(match.metadata or {})) for match in answer.matches]
        return found, spent

    async def _ask(self, vector: list[float], *, namespace: str, **asked: Any) -> tuple[Any, spend.Spend]:
        """A query's answer, and what it cost."""
        data, key = await self.data_plane()
        try:
            answer = await data.query(vector=vector, namespace=namespace, **asked)
        except (pinecone.errors.ValidationError, pinecone.errors.PineconeValueError) as error:
            raise _refusal(error, asked.get("filter")) from error
        except pinecone.errors.PineconeError as error:
            if getattr(error, "status_code", 0) == 400:
                raise _refusal(error, asked.get("filter")) from error
            raise await self.unavailable(error, key) from error
        told = (answer.usage.read_units or 0) if answer.usage else 0
        cost = units.of_query(told, await self._sizes.vectors(namespace) * len(vector) * units.BYTES_A_FLOAT)
        return answer, spend.Spend(read_thousandths=cost)


def _tell(before: Index | None, now: Index) -> None:
    """Say in the log what has become of the index."""
    if before == now:
        return
    if now.problem:
        log.error("The index takes no vectors of ours.", action="index_unusable", index=now.name, why=now.problem)
    elif before is not None:
        log.warning(
            "The index is another one now, or elsewhere; vectors go there.",
            action="index_changed",
            index=now.name,
            host=now.host,
            dimension=now.dimension,
            before=f"{before.host} ({before.dimension or 'no'} values a vector)",
        )


def _refusal(error: Exception, metadata_filter: Mapping[str, Any] | None) -> errors.InvalidArgument:
    """The index's own words, without what the SDK puts around them; all that a caller can get wrong is the filter."""
    words = _SDK_FRAME.sub("", str(error))
    violations = (errors.FieldViolation("filter", words),) if metadata_filter else ()
    return errors.InvalidArgument(f"The index refuses the question: {words}", violations=violations)

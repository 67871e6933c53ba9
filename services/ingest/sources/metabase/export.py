"""A question of Metabase, exported as CSV into our bucket: from there it is a source like any other.

The export route is used (POST /api/card/{id}/query/csv), since /query stops at 2,000 rows and says nothing. Its
parameters go as a form: every version of Metabase takes that, while 0.53 and later take no query string.
"""

import asyncio
import dataclasses
import datetime
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pydantic
import structlog
import tenacity
from vectorline.v1 import ingest_pb2

from services.ingest import failures, sources
from services.ingest.request import options
from services.ingest.sources import uploads
from services.ingest.sources.metabase import answer
from services.runtime import errors

log = structlog.get_logger()

UNAVAILABLE = "METABASE_UNAVAILABLE"
CONNECT_SECONDS = 10.0
# Of the same question, before it fails.
ATTEMPTS = 8
LONGEST_WAIT_SECONDS = 60.0
_ERROR_BYTES = 64 << 10
_NOT_NOW = frozenset({408, 425, 429})

Sleep = Callable[[float], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Metabase:
    """Where questions are exported from."""

    # Empty: there is none.
    url: str
    api_key: pydantic.SecretStr
    # Silence of an export that ends it.
    timeout_seconds: float
    # How long an export that is not answered, or breaks off, is tried again.
    retry_seconds: float
    # An export of exactly so many rows was cut.
    row_caps: tuple[int, ...]


class Unreachable(Exception):
    """Metabase does not answer now."""


class Questions:
    """Exports questions.

    Args:
        client: Its timeouts are set by `connect`.
        stage: The bucket.
        where: Which Metabase, if any.
        sleep: Waits between two attempts.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        stored: uploads.Uploads,
        where: Metabase,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._uploads = stored
        self._where = where
        self._sleep = sleep

    def problems(self, request: ingest_pb2.ProcessRequest) -> Iterator[errors.FieldViolation]:
        """What is wrong with a question where no Metabase is configured."""
        if request.data_source == "metabase" and not self._where.url:
            problem = "There is no Metabase here; METABASE_URL and METABASE_API_KEY name one."
            yield errors.FieldViolation("data_source", problem)

    def check_rows(self, rows: int) -> None:
        """Refuse an export that ends just where Metabase cuts silently.

        Raises:
            failures.SourceFailure: METABASE_TRUNCATED.
        """
        if rows in self._where.row_caps:
            raise answer.truncated(
                f"it has exactly {rows:,} rows, which is where Metabase cuts without a word; ask for fewer days. If "
                "the question really has so many rows, take the number out of METABASE_ROW_CAPS"
            )

    async def stage(
        self, chosen: options.Options, upload_id: str, owner: str, *, patient: bool = True
    ) -> sources.Pinned:
        """Export a question into the bucket.

        Args:
            chosen: The request.
            upload_id: Where to: as an upload of this id.
            owner: Who may use it.
            patient: Try again for METABASE_RETRY_SECONDS; else only what broke at once.

        Raises:
            failures.SourceFailure: METABASE_REFUSED, METABASE_LOGIN, METABASE_TRUNCATED or METABASE_UNAVAILABLE.
            errors.Unavailable: The bucket takes nothing now.
        """
        if not self._where.url:  # there was one when the task was stored
            raise failures.SourceFailure(
                UNAVAILABLE, "There is no Metabase here any more; set METABASE_URL and METABASE_API_KEY, then retry it."
            )
        trying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS if patient else 2)
            | tenacity.stop_after_delay(self._where.retry_seconds),
            wait=tenacity.wait_random_exponential(multiplier=1.0, max=LONGEST_WAIT_SECONDS),
            retry=tenacity.retry_if_exception_type((Unreachable, answer.CutOff)),
            sleep=self._sleep,
            before_sleep=_tell,
            reraise=True,
        )
        try:
            async for attempt in trying:
                with attempt:
                    pinned = await self._export(chosen, upload_id, owner)
        except Unreachable as error:
            raise failures.SourceFailure(UNAVAILABLE, f"Metabase does not answer: {error}; retry the task.") from error
        except answer.CutOff as error:
            raise answer.truncated(f"{error}, again and again") from error
        log.info("A question was staged.", action="question_staged", bytes=pinned.size_bytes)
        return pinned

    async def _export(self, chosen: options.Options, upload_id: str, owner: str) -> sources.Pinned:
        name = f"question-{chosen.question_id}.csv"
        upload = self._uploads.begin(upload_id, name, owner)
        try:
            async for data in self._bytes(chosen):
                await upload.write(data)
            return await upload.finish(name)
        except BaseException:
            await upload.abandon()
            raise

    async def _bytes(self, chosen: options.Options) -> AsyncIterator[bytes]:
        received = answer.Answer(chosen.question_id)
        begun = False
        try:
            async with self._client.stream(
                "POST",
                f"{self._where.url.rstrip('/')}/api/card/{chosen.question_id}/query/csv",
                # Cells as they are: Metabase would write 1,234.50 and January 1, 2025 as its pages do.
                data={"parameters": json.dumps(parameters(chosen)), "format_rows": "false"},
                headers={
                    "x-api-key": self._where.api_key.get_secret_value(),
                    # A compressed stream that was cut may decompress without an error.
                    "accept-encoding": "identity",
                },
            ) as response:
                await _check(response, chosen.question_id)
                begun = True
                async for data in response.aiter_raw():
                    received.add(data)
                    yield data
        except httpx.TimeoutException as error:
            raise Unreachable("no answer in time") from error
        except httpx.TransportError as error:
            if begun:
                raise answer.CutOff("the connection broke") from error
            raise Unreachable("no connection") from error
        received.end()


def connect(where: Metabase) -> httpx.AsyncClient:
    """A client with its timeouts; a query may run long before the first byte comes."""
    return httpx.AsyncClient(timeout=httpx.Timeout(where.timeout_seconds, connect=CONNECT_SECONDS))


def parameters(chosen: options.Options) -> list[dict[str, Any]]:
    """The template tags of the request; only those given, since Metabase refuses tags that the question lacks."""
    tags: dict[str, datetime.date | None] = {"Start_Date": chosen.start_date, "End_Date": chosen.end_date}
    return [
        {"type": "date/single", "target": ["variable", ["template-tag", name]], "value": day.isoformat()}
        for name, day in tags.items()
        if day is not None
    ]


async def _check(response: httpx.Response, question_id: int) -> None:
    """Raise for what is no export, as far as the head tells."""
    status = response.status_code
    if status in _NOT_NOW or status >= 500:
        raise Unreachable(f"status {status}")
    if status == 401:
        raise answer.login("does not take the key")
    if 300 <= status < 400:
        raise answer.login("redirects elsewhere")
    if status == 403:
        raise answer.refused(f"The key of METABASE_API_KEY may not run question {question_id}", b"")
    if status == 404:
        raise answer.refused(f"Metabase has no question {question_id}", b"")
    if not response.is_success:
        raise answer.refused(f"Metabase refuses question {question_id} (status {status})", await _some(response))


async def _some(response: httpx.Response) -> bytes:
    body = b""
    async for data in response.aiter_raw():
        body += data
        if len(body) >= _ERROR_BYTES:
            break
    return body


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("A question is asked again.", action="question_again", attempt=state.attempt_number, why=str(error))

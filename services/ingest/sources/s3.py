"""An object of S3, pinned by version id, or by ETag where the bucket keeps no versions."""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tenacity
import urllib3.exceptions
from botocore import exceptions as aws

from services.ingest import failures, sources
from services.ingest.sources import s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Attempts in a row without a single byte gained, before the source counts as unavailable.
ATTEMPTS = 6
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0
_DISCARD_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
# Broken in transit: worth a new request from the position reached.
_BROKEN = (urllib3.exceptions.HTTPError, aws.HTTPClientError, aws.IncompleteReadError, OSError)


def version(answer: Any) -> str:
    """The version that an answer names. "null" is the one that can be written over: there the ETag guards."""
    named = str(answer.get("VersionId", ""))
    return "" if named == "null" else named


class S3Source:
    """One object.

    Args:
        client: A boto3 S3 client; its own retries should be few, since reads are resumed here.
        uri: ``s3://bucket/key``.
        requester_pays: Agree to pay for what is read where a bucket's owner lets its readers pay.
        sleep: Waits that many seconds between attempts.
    """

    def __init__(
        self,
        client: "S3Client",
        uri: str,
        *,
        requester_pays: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._uri = uri
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._where: dict[str, str] = {"Bucket": bucket, "Key": key}
        if requester_pays:
            self._where["RequestPayer"] = "requester"
        self._sleep = sleep

    def pin(self) -> sources.Pinned:
        """Return version, ETag and size as of now."""
        try:
            head: Any = self._client.head_object(**self._where)  # type: ignore[arg-type]  # a request built by parts
        except aws.ClientError as error:
            raise self._explained(error) from error
        except aws.ParamValidationError as error:
            raise failures.SourceFailure(
                "SOURCE_NOT_FOUND", f"{self._uri} is no name that S3 could have; look at bucket and key."
            ) from error
        except (aws.BotoCoreError, *_BROKEN) as error:
            raise _unavailable(self._uri) from error
        return sources.Pinned(
            uri=self._uri,
            version_id=version(head),
            etag=head["ETag"],
            size_bytes=head["ContentLength"],
            display_name=self._uri,
        )

    def _explained(self, error: aws.ClientError) -> Exception:
        """What a HEAD was refused for. Its answer has no body: a GET of one byte names the reason."""
        found = s3_errors.verdict(error)
        if found.kind in (s3_errors.Kind.MISSING, s3_errors.Kind.TRANSIENT):
            return _told(found, self._uri)
        try:
            self._client.get_object(**self._where, Range="bytes=0-0")["Body"].close()  # type: ignore[arg-type]
        except aws.ClientError as told:
            found = s3_errors.verdict(told)
        except (aws.BotoCoreError, *_BROKEN):
            return _unavailable(self._uri)
        if found.kind is s3_errors.Kind.FORBIDDEN and self._readers_pay():
            found = s3_errors.REQUESTER_PAYS
        return _told(found, self._uri)

    def _readers_pay(self) -> bool:
        """Whether the object shows itself to one who would pay; S3 refuses others with a plain AccessDenied."""
        if "RequestPayer" in self._where:
            return False
        try:
            self._client.head_object(**self._where, RequestPayer="requester")  # type: ignore[arg-type]
        except (aws.ClientError, aws.BotoCoreError, *_BROKEN):
            return False
        return True

    def open(self, pinned: sources.Pinned, offset: int = 0) -> "S3Stream":
        """Read the pinned object from a byte offset on; broken connections are resumed where they broke."""
        stream = S3Stream(self.request, pinned, offset, sleep=self._sleep)
        stream.connect()
        return stream

    def request(self, pinned: sources.Pinned, offset: int) -> Any:
        """Return the body of the pinned object, standing at ``offset``."""
        arguments = dict(self._where)
        if pinned.version_id:
            arguments["VersionId"] = pinned.version_id
        else:
            arguments["IfMatch"] = pinned.etag
        if offset:
            arguments["Range"] = f"bytes={offset}-"
        try:
            answer = self._client.get_object(**arguments)  # type: ignore[arg-type]  # a request built by parts
        except aws.ClientError as error:
            raise _translated(error, self._uri) from error
        if answer["ETag"] != pinned.etag:
            answer["Body"].close()
            raise _changed(self._uri)
        body = answer["Body"]
        start = _start(answer)
        if start > offset or _total(answer) not in (None, pinned.size_bytes):
            body.close()
            raise _changed(self._uri)
        _discard(body, offset - start)
        return body


class S3Stream:
    """The bytes of a pinned object from an offset on."""

    def __init__(
        self,
        request: Callable[[sources.Pinned, int], Any],
        pinned: sources.Pinned,
        offset: int,
        *,
        sleep: Callable[[float], None],
    ) -> None:
        self._request = request
        self._pinned = pinned
        self._position = offset
        self._body: Any = None
        self._retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
            retry=tenacity.retry_if_exception_type((failures.SourceUnavailable, aws.BotoCoreError, *_BROKEN)),
            sleep=sleep,
            reraise=True,
        )

    def connect(self) -> None:
        """Ask for the bytes now, so that a missing object shows before the first read."""
        self._attempt(0)

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; b"" at the pinned size. Resumes at the position reached when the connection breaks."""
        return self._attempt(min(size, self._pinned.size_bytes - self._position))

    def _attempt(self, size: int) -> bytes:
        if self._position >= self._pinned.size_bytes:
            return b""
        try:
            data = self._retrying(self._read_once, size)
        except (aws.BotoCoreError, *_BROKEN) as error:
            raise _unavailable(self._pinned.uri) from error
        self._position += len(data)
        return data

    def _read_once(self, size: int) -> bytes:
        try:
            if self._body is None:
                self._body = self._request(self._pinned, self._position)
            if not size:
                return b""
            return _some(self._body, size)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


def _start(answer: Any) -> int:
    """Return where the body begins: a server that ignores Range answers 200 and the whole object."""
    if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
        return 0
    match = _CONTENT_RANGE.match(answer.get("ContentRange", ""))
    return int(match[1]) if match else 0


def _total(answer: Any) -> int | None:
    match = _CONTENT_RANGE.match(answer.get("ContentRange", ""))
    if match:
        return int(match[2]) if match[2] != "*" else None
    length: int | None = answer.get("ContentLength")
    return length


def _discard(body: Any, count: int) -> None:
    while count > 0:
        count -= len(_some(body, min(count, _DISCARD_BYTES)))


def _some(body: Any, size: int) -> bytes:
    data: bytes = body.read(size)
    if not data:
        raise ConnectionError("the answer ended before the object did")
    return data


def _translated(error: aws.ClientError, uri: str) -> Exception:
    return _told(s3_errors.verdict(error), uri)


def _told(verdict: s3_errors.Verdict, uri: str) -> Exception:
    words = f"{uri} {verdict.words}."
    if verdict.kind is s3_errors.Kind.TRANSIENT:
        return failures.SourceUnavailable(words)
    return failures.SourceFailure(verdict.kind.value, words)


def _changed(uri: str) -> failures.SourceFailure:
    return failures.SourceFailure("SOURCE_CHANGED", f"{uri} was changed after the task began; start a new task.")


def _unavailable(uri: str) -> failures.SourceUnavailable:
    return failures.SourceUnavailable(f"{uri} does not answer now.")

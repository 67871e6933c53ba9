"""From what a request or a pin says to the source itself."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vectorline.v1 import ingest_pb2

from services.ingest import sources
from services.ingest.request import options
from services.ingest.sources import local, s3, uploads
from services.runtime import errors, identity

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What a deployment lets requests name."""

    # Of keys without one.
    bucket: str
    # Others that s3:// keys may name, each as bucket or bucket/prefix.
    buckets: tuple[str, ...] = ()
    # Of local_csv; None: local files are off.
    local_folder: pathlib.Path | None = None
    # Agree to pay where a bucket's owner lets its readers pay.
    requester_pays: bool = False


class Sources:
    """Finds sources, within what the deployment allows."""

    def __init__(self, client: "S3Client", allowed: Allowed) -> None:
        self._client = client
        self._allowed = allowed

    def problems(self, request: ingest_pb2.ProcessRequest) -> Iterator[errors.FieldViolation]:
        """What no task could ever read: a bucket or prefix that is not allowed, local files while they are off."""
        if request.data_source == "local_csv" and self._allowed.local_folder is None:
            yield errors.FieldViolation("data_source", "Local files are off here; USE_LOCAL_FILES=true turns them on.")
        elif request.data_source == "s3_csv" and request.s3_key:
            bucket, _, key = self._uri(request.s3_key).removeprefix("s3://").partition("/")
            problem = self._s3_problem(bucket, key)
            if problem:
                yield errors.FieldViolation("s3_key", problem)

    def _s3_problem(self, bucket: str, key: str) -> str:
        if any(part in (".", "..") for part in key.split("/")):
            # A key is no path to S3, but it is one to some servers with its API, and prefixes would not hold there.
            return "A key may not have . or .. between its slashes."
        if bucket == self._allowed.bucket:
            if key.lstrip("/").startswith(uploads.RESERVED):
                return (
                    f"Keys that begin with {', '.join(uploads.RESERVED)} are the line's own; name an upload by "
                    "data_source upload and its upload_id."
                )
            return ""
        places = [allowed.partition("/") for allowed in self._allowed.buckets]
        if any(bucket == name and key.startswith(prefix) for name, _, prefix in places):
            return ""
        if bucket in {name for name, _, _ in places}:
            return f"This key of the bucket {bucket!r} is not allowed; S3_ALLOWED_BUCKETS names the prefixes that are."
        return f"The bucket {bucket!r} is not allowed; S3_ALLOWED_BUCKETS names those that are."

    def names(self, request: ingest_pb2.ProcessRequest) -> tuple[str, ...]:
        """What lists of allowed sources may call the request's source; nothing: it is the caller's own upload."""
        if request.data_source == "metabase":
            return ("metabase",)
        if request.data_source == "local_csv":
            return (f"local:{request.s3_key}",)
        if request.data_source != "s3_csv":
            return ()
        uri = self._uri(request.s3_key)
        own = f"s3://{self._allowed.bucket}/"
        return (uri.removeprefix(own), uri) if uri.startswith(own) else (uri,)

    def require(self, request: ingest_pb2.ProcessRequest) -> None:
        """Refuse a load whose namespace, question or source the caller's key may not use.

        Raises:
            errors.PermissionDenied: NOT_ALLOWED.
        """
        identity.require(namespace=request.namespace, question=request.question_id, source=self.names(request))

    def of_request(self, chosen: options.Options) -> sources.Source:
        """The source that a request names."""
        if chosen.data_source == "local_csv":
            return self._local(chosen.s3_key)
        return self._s3(self._uri(chosen.s3_key))

    def of_pin(self, pinned: sources.Pinned) -> sources.Source:
        """The source that was pinned."""
        if pinned.uri.startswith(local.URI_PREFIX):
            return self._local(pinned.uri)
        return self._s3(pinned.uri)

    def _s3(self, uri: str) -> s3.S3Source:
        return s3.S3Source(self._client, uri, requester_pays=self._allowed.requester_pays)

    def _local(self, path: str) -> local.LocalSource:
        return local.LocalSource(self._allowed.local_folder, path)

    def _uri(self, key: str) -> str:
        return key if key.startswith("s3://") else f"s3://{self._allowed.bucket}/{key}"

"""Objects of manifests and comparisons in the line's own bucket. Blocking: called in threads. None is written twice."""

import contextlib
import hashlib
import secrets
import urllib.parse
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from services.ingest import failures
from services.ingest.sources import object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER = "manifests"
SUM_BYTES = 16
_TOKEN_BYTES = 8


class Broken(Exception):
    """An object is missing, or is not what was written."""


class Store:
    """The bucket, as manifests need it.

    All methods raise errors.Unavailable when S3 does not answer, and failures.StoreFailure when it refuses.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        with object_store.translated():
            self._client.put_object(Bucket=self._bucket, Key=name, Body=data)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """An object's bytes, to be read in pieces.

        Raises:
            Broken: It is not there.
        """
        try:
            with object_store.translated():
                answer = self._client.get_object(Bucket=self._bucket, Key=name)
                with answer["Body"] as body:
                    yield body  # type: ignore[misc]  # boto3's StreamingBody reads as a file does
        except failures.StoreFailure as failure:
            if failure.reason != "STORE_MISSING":
                raise
            raise Broken(f"{name} is gone") from failure

    def get(self, name: str) -> bytes:
        """A small object whole."""
        with self.opened(name) as body:
            return body.read()

    def names(self, folder: str) -> list[str]:
        """The folders right below a folder: one for each version of a manifest and each comparison."""
        found: list[str] = []
        with object_store.translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=folder, Delimiter="/"
            )
            for page in pages:
                found += [each["Prefix"].removeprefix(folder).rstrip("/") for each in page.get("CommonPrefixes", [])]
        return found


def checksum_of(data: bytes) -> str:
    """What is kept of an object, to tell whether it is what was written."""
    return hashlib.blake2b(data, digest_size=SUM_BYTES).hexdigest()


def folder_of(index: str, namespace: str, question_id: str) -> str:
    """Where the versions of a manifest lie."""
    names = (urllib.parse.quote(name, safe="") or "_" for name in (index, namespace, question_id))
    return "/".join((FOLDER, *names, ""))


def new_version(folder: str, version: int) -> str:
    """A folder for a version that somebody is about to make; others who make the same use another."""
    return _new(folder, f"{version}")


def new_comparison(folder: str, task_id: str, fence: int) -> str:
    """The same for a comparison."""
    return _new(folder, f"of-{task_id}-{fence}")


def _new(folder: str, name: str) -> str:
    return f"{folder}{name}-{secrets.token_hex(_TOKEN_BYTES)}/"


def version_of(name: str) -> int:
    """The version that a folder's name begins with; 0: none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0

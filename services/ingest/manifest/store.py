"""Objects of manifests and comparisons in the line's own bucket. Blocking: called in threads. None is written twice."""

import contextlib
import dataclasses
import datetime
import hashlib
import secrets
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from services.ingest import failures
from services.ingest.sources import object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

FOLDER = "manifests"
SUM_BYTES = 16
_TOKEN_BYTES = 8
_OF_COMPARISON = "of-"
# Of one call.
_MOST_REMOVED = 1_000
# What stands for an empty name in a folder's.
_EMPTY = "_"


class Broken(Exception):
    """An object is missing, or is not what was written."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the versions of a manifest lie, and what it is about."""

    index: str
    namespace: str
    question_id: int | None
    folder: str


@dataclasses.dataclass(frozen=True)
class Stored:
    """A version of an object, or the mark of its deletion, and when it was written."""

    name: str
    version_id: str
    modified: datetime.datetime


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

    def below(self, prefix: str) -> list[str]:
        """The names of all objects that begin so. What was stored before is among them (S3 is consistent in that)."""
        found: list[str] = []
        with object_store.translated():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                found += [each["Key"] for each in page.get("Contents", [])]
        return found

    def places(self) -> list[Place]:
        """The folders of all manifests, but of namespaces that cannot be told from one without a name."""
        found = []
        for index in self.names(f"{FOLDER}/"):
            for namespace in self.names(f"{FOLDER}/{index}/"):
                for question in self.names(f"{FOLDER}/{index}/{namespace}/") if namespace != _EMPTY else ():
                    number = None if question == _EMPTY else int(question)
                    folder = f"{FOLDER}/{index}/{namespace}/{question}/"
                    found.append(Place(urllib.parse.unquote(index), urllib.parse.unquote(namespace), number, folder))
        return found

    def versions(self, folder: str) -> list[Stored]:
        """All versions of all objects in a folder and those below it, deleted ones too."""
        found: list[Stored] = []
        with object_store.translated():
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=folder)
            for page in pages:
                every = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                found += [Stored(each["Key"], each["VersionId"], each["LastModified"]) for each in every]
        return found

    def remove(self, found: Sequence[Stored]) -> None:
        """Remove versions of objects for good."""
        for start in range(0, len(found), _MOST_REMOVED):
            some: list[ObjectIdentifierTypeDef] = [
                {"Key": each.name, "VersionId": each.version_id} for each in found[start : start + _MOST_REMOVED]
            ]
            with object_store.translated():
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
            for refused in answer.get("Errors", ())[:1]:
                raise failures.StoreFailure(
                    "STORE_FORBIDDEN", f"{refused.get('Key')} cannot be removed: {refused.get('Code')}"
                )


def checksum_of(data: bytes) -> str:
    """What is kept of an object, to tell whether it is what was written."""
    return hashlib.blake2b(data, digest_size=SUM_BYTES).hexdigest()


def folder_of(index: str, namespace: str, question_id: str) -> str:
    """Where the versions of a manifest lie."""
    names = (urllib.parse.quote(name, safe="") or _EMPTY for name in (index, namespace, question_id))
    return "/".join((FOLDER, *names, ""))


def new_version(folder: str, version: int) -> str:
    """A folder for a version that somebody is about to make; others who make the same use another."""
    return _new(folder, f"{version}")


def new_comparison(folder: str, task_id: str, fence: int) -> str:
    """The same for a comparison."""
    return _new(folder, f"{_OF_COMPARISON}{task_id}-{fence}")


def new_page(prefix: str, first_chunk: int) -> str:
    """An object of rows that are about to travel."""
    return f"{prefix}{first_chunk:08}-{secrets.token_hex(_TOKEN_BYTES)}"


def _new(folder: str, name: str) -> str:
    return f"{folder}{name}-{secrets.token_hex(_TOKEN_BYTES)}/"


def version_of(name: str) -> int:
    """The version that a folder's name begins with; 0: none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def task_of(name: str) -> str:
    """The task whose comparison lies in the folder of this name; empty: it is none's."""
    return name.removeprefix(_OF_COMPARISON).rsplit("-", 2)[0] if name.startswith(_OF_COMPARISON) else ""

"""Uploads: files that callers stream into the bucket, in parts, while they are hashed."""

import asyncio
import hashlib
import io
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

import structlog

from services.ingest import sources
from services.ingest.sources import object_store
from services.runtime import errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

# S3 wants parts of 5 MiB to 5 GiB, and at most 10,000 of them: parts grow so that an upload may have 5 TiB.
PART_BYTES = 8 << 20
PARTS_BEFORE_GROWTH = 1_000
MOST_PART_BYTES = 512 << 20
# Where the bucket holds what callers may not name as an s3_key: it may be another caller's.
UPLOADS = "uploads/"
RESERVED = (UPLOADS, "plans/", "rejects/")
_OWNER = "owner"  # metadata of an upload: the key id of its caller


class Upload:
    """One file on its way into the bucket; at most one part is under way while the next one gathers."""

    def __init__(self, client: "S3Client", patient: "S3Client", bucket: str, key: str, owner: str) -> None:
        self._client = client
        self._patient = patient
        self._where = {"Bucket": bucket, "Key": key}
        self._metadata = {_OWNER: _ascii(owner)}
        self._upload_id = ""
        self._gathered = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._sending: asyncio.Task[dict[str, Any]] | None = None
        self._sha256 = hashlib.sha256()
        self._size = 0

    async def write(self, data: bytes) -> None:
        """Add the next bytes.

        Raises:
            errors.Unavailable: S3 does not take them.
        """
        self._gathered += data
        if len(self._gathered) >= min(PART_BYTES << (len(self._parts) // PARTS_BEFORE_GROWTH), MOST_PART_BYTES):
            await self._send()

    async def finish(self, display_name: str) -> sources.Pinned:
        """All bytes are there: the stored object, pinned.

        Raises:
            errors.Unavailable: S3 did not take it.
        """
        if not self._upload_id:
            body = bytes(self._gathered)
            self._hash(body)
            stored = await self._store(self._client.put_object, body, Metadata=self._metadata)
        else:
            if self._gathered:
                await self._send()
            await self._sent()
            stored = await object_store.call(
                self._patient.complete_multipart_upload,
                **self._where,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
            )
        return sources.Pinned(
            uri=f"s3://{self._where['Bucket']}/{self._where['Key']}",
            version_id="" if stored.get("VersionId", "null") == "null" else stored["VersionId"],
            etag=stored["ETag"],
            size_bytes=self._size,
            sha256=self._sha256.hexdigest(),
            display_name=display_name,
        )

    async def abandon(self) -> None:
        """Leave nothing of it behind, as far as S3 answers."""
        if self._sending is not None:
            self._sending.cancel()
        if self._upload_id:
            try:
                await object_store.call(self._client.abort_multipart_upload, **self._where, UploadId=self._upload_id)
            except errors.Unavailable as error:
                log.warning("An upload was left half done in S3.", action="upload_orphan", error=str(error))

    async def _send(self) -> None:
        if not self._upload_id:
            begun = await object_store.call(
                self._client.create_multipart_upload, **self._where, Metadata=self._metadata
            )
            self._upload_id = begun["UploadId"]
        await self._sent()
        body, self._gathered = bytes(self._gathered), bytearray()
        self._sending = asyncio.create_task(self._send_part(len(self._parts) + 1, body))

    async def _send_part(self, number: int, body: bytes) -> dict[str, Any]:
        await asyncio.to_thread(self._hash, body)
        answer = await self._store(self._client.upload_part, body, UploadId=self._upload_id, PartNumber=number)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _store(self, method: Any, body: bytes, **arguments: Any) -> Any:
        """Send a body. boto3 keeps it in cycles until the garbage collector comes by; a closed file holds no bytes."""
        with io.BytesIO(body) as file:
            return await object_store.call(method, **self._where, Body=file, **arguments)

    async def _sent(self) -> None:
        if self._sending is not None:
            self._parts.append(await self._sending)
            self._sending = None

    def _hash(self, body: bytes) -> None:
        self._sha256.update(body)
        self._size += len(body)


class Uploads:
    """The uploads in the bucket.

    Args:
        client: Answers soon or not at all.
        bucket: Its name.
        patient: Waits for minutes, where S3 takes minutes: to put a large upload together. Default: `client`.
    """

    def __init__(self, client: "S3Client", bucket: str, *, patient: "S3Client | None" = None) -> None:
        self._client = client
        self._patient = patient or client
        self._bucket = bucket

    def begin(self, upload_id: str, filename: str, owner: str) -> Upload:
        """Begin to store a file under an id; `owner` is the key id of who may use it."""
        return Upload(self._client, self._patient, self._bucket, f"{UPLOADS}{upload_id}/{filename}", owner)

    async def find(self, upload_id: str, owner: str | None) -> sources.Pinned:
        """An upload, pinned as it is now.

        Args:
            upload_id: The id that the upload was answered.
            owner: The key id of who asks; None: one who may use all.

        Raises:
            errors.NotFound: There is none, or it is another's.
            errors.Unavailable: S3 does not answer.
        """
        missing = errors.NotFound(f"There is no upload {upload_id[:64]!r}.", reason="UPLOAD_NOT_FOUND")
        if not _is_uuid(upload_id):
            raise missing
        prefix = f"{UPLOADS}{upload_id}/"
        listed = await object_store.call(self._client.list_objects_v2, Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        if not listed.get("Contents"):
            raise missing
        key = listed["Contents"][0]["Key"]
        head = await object_store.call(self._client.head_object, Bucket=self._bucket, Key=key)
        if owner is not None and head["Metadata"].get(_OWNER) != _ascii(owner):
            raise missing
        return sources.Pinned(
            uri=f"s3://{self._bucket}/{key}",
            version_id="" if head.get("VersionId", "null") == "null" else head["VersionId"],
            etag=head["ETag"],
            size_bytes=head["ContentLength"],
            display_name=key.removeprefix(prefix),
        )

    async def remove(self, pinned: sources.Pinned) -> None:
        """Take an upload away that no task came to own."""
        key = pinned.uri.removeprefix(f"s3://{self._bucket}/")
        try:
            await object_store.call(self._client.delete_object, Bucket=self._bucket, Key=key)
        except errors.Unavailable as error:
            log.warning("An upload that no task owns was left in S3.", action="upload_orphan", error=str(error))


def _ascii(key_id: str) -> str:
    """Metadata of S3 is ASCII."""
    return urllib.parse.quote(key_id)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

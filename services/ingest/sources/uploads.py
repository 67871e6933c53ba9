"""Uploads: files that callers stream into the bucket, in parts, while they are hashed."""

import asyncio
import hashlib
import io
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

import structlog

from services.ingest import failures, sources
from services.ingest.sources import object_store, s3, upload_memory
from services.runtime import errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = structlog.get_logger()

# S3 wants parts of 5 MiB to 5 GiB, and at most 10,000 of them: parts grow so that an upload may have 5 TiB.
PART_BYTES = 8 << 20
PARTS_BEFORE_GROWTH = 1_000
MOST_PART_BYTES = 512 << 20
# Of parts that gather or are under way, for all uploads of a process; an upload has FREE_BYTES besides.
MEMORY_BYTES = 16 * PART_BYTES
FREE_BYTES = 1 << 20
# Where the bucket holds what callers may not name as an s3_key: it may be another caller's.
UPLOADS = "uploads/"
RESERVED = (UPLOADS, "plans/", "rejects/")
_OWNER = "owner"  # metadata of an upload: the key id of its caller


class Upload:
    """One file on its way into the bucket; at most one part is under way while the next one gathers."""

    def __init__(
        self,
        client: "S3Client",
        patient: "S3Client",
        where: dict[str, str],
        owner: str,
        memory: upload_memory.Budget,
    ) -> None:
        self._client = client
        self._patient = patient
        self._where: dict[str, Any] = where
        self._metadata = {_OWNER: _ascii(owner)}
        self._memory = memory
        # What is held of it: for the part that gathers, and for the one under way.
        self._room = self._sending_room = 0
        self._beginning: asyncio.Task[Any] | None = None
        self._gathered = io.BytesIO()
        self._parts: list[dict[str, Any]] = []
        self._sending: asyncio.Task[dict[str, Any]] | None = None
        self._sha256 = hashlib.sha256()
        self._size = 0

    async def write(self, data: bytes) -> None:
        """Add the next bytes; waits while the uploads of this process hold all the memory that they may.

        Raises:
            errors.Unavailable: S3 does not take them.
            failures.StoreFailure: It will not.
        """
        part_bytes = min(PART_BYTES << (len(self._parts) // PARTS_BEFORE_GROWTH), MOST_PART_BYTES)
        if not self._room and self._gathered.tell() + len(data) > FREE_BYTES:
            self._room = await self._memory.take(part_bytes)
        self._gathered.write(data)
        if self._gathered.tell() >= part_bytes:
            await self._send()

    async def finish(self, display_name: str) -> sources.Pinned:
        """All bytes are there: the stored object, pinned.

        Raises:
            errors.Unavailable: S3 did not take it.
            failures.StoreFailure: It will not.
        """
        if self._beginning is None:
            stored = await self._store(self._client.put_object, self._gathered, Metadata=self._metadata)
        else:
            if self._gathered.tell():
                await self._send()
            await self._sent()
            stored = await object_store.call(
                self._patient.complete_multipart_upload,
                **self._where,
                UploadId=await self._upload_id(),
                MultipartUpload={"Parts": self._parts},
            )
        self._give_back()
        return sources.Pinned(
            uri=f"s3://{self._where['Bucket']}/{self._where['Key']}",
            version_id=s3.version(stored),
            etag=stored["ETag"],
            size_bytes=self._size,
            sha256=self._sha256.hexdigest(),
            display_name=display_name,
        )

    async def abandon(self) -> None:
        """Leave nothing of it behind, as far as S3 answers; also when the caller of this is cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._abandon()))

    async def _abandon(self) -> None:
        try:
            if self._sending is not None:  # its thread cannot be stopped, and a part behind the end would stay
                await asyncio.gather(self._sending, return_exceptions=True)
            if self._beginning is not None:
                await object_store.call(
                    self._client.abort_multipart_upload, **self._where, UploadId=await self._upload_id()
                )
        except (errors.Unavailable, failures.StoreFailure) as error:
            log.warning("An upload was left half done in S3.", action="upload_orphan", error=str(error))
        finally:
            self._give_back()

    async def _upload_id(self) -> str:
        """Of the multipart upload, begun by the first call; one that is cancelled here still ends, and is known."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(
                object_store.call(self._client.create_multipart_upload, **self._where, Metadata=self._metadata)
            )
        begun = await asyncio.shield(self._beginning)
        return str(begun["UploadId"])

    async def _send(self) -> None:
        upload_id = await self._upload_id()
        await self._sent()
        body, self._gathered = self._gathered, io.BytesIO()
        self._sending_room, self._room = self._room, 0
        self._sending = asyncio.create_task(self._send_part(upload_id, len(self._parts) + 1, body))

    async def _send_part(self, upload_id: str, number: int, body: io.BytesIO) -> dict[str, Any]:
        try:
            answer = await self._store(self._client.upload_part, body, UploadId=upload_id, PartNumber=number)
        finally:
            self._memory.give_back(self._sending_room)
            self._sending_room = 0
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _store(self, method: Any, body: io.BytesIO, **arguments: Any) -> Any:
        """Send a body. boto3 keeps it in cycles until the garbage collector comes by; a closed file holds no bytes."""
        with body:
            await asyncio.to_thread(self._hash, body)
            body.seek(0)
            return await object_store.call(method, **self._where, Body=body, **arguments)

    async def _sent(self) -> None:
        if self._sending is not None:
            self._parts.append(await asyncio.shield(self._sending))
            self._sending = None

    def _hash(self, body: io.BytesIO) -> None:
        with body.getbuffer() as data:
            self._sha256.update(data)
            self._size += len(data)

    def _give_back(self) -> None:
        self._memory.give_back(self._room)
        self._room = 0
        self._gathered.close()


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
        self._memory = upload_memory.Budget(MEMORY_BYTES)

    def begin(self, upload_id: str, filename: str, owner: str) -> Upload:
        """Begin to store a file under an id; `owner` is the key id of who may use it."""
        where = {"Bucket": self._bucket, "Key": f"{UPLOADS}{upload_id}/{filename}"}
        return Upload(self._client, self._patient, where, owner, self._memory)

    async def find(self, upload_id: str, owner: str | None) -> sources.Pinned:
        """An upload, pinned as it is now.

        Args:
            upload_id: The id that the upload was answered.
            owner: The key id of who asks; None: one who may use all.

        Raises:
            errors.NotFound: There is none, or it is another's.
            errors.Unavailable: S3 does not answer.
            failures.StoreFailure: It refuses.
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
            version_id=s3.version(head),
            etag=head["ETag"],
            size_bytes=head["ContentLength"],
            display_name=key.removeprefix(prefix),
        )

    async def remove(self, pinned: sources.Pinned) -> None:
        """Take an upload away that no task came to own."""
        key = pinned.uri.removeprefix(f"s3://{self._bucket}/")
        try:
            await object_store.call(self._client.delete_object, Bucket=self._bucket, Key=key)
        except (errors.Unavailable, failures.StoreFailure) as error:
            log.warning("An upload that no task owns was left in S3.", action="upload_orphan", error=str(error))


def _ascii(key_id: str) -> str:
    """Metadata of S3 is ASCII."""
    return urllib.parse.quote(key_id)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

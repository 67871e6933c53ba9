"""Rejected rows: one S3 object a chunk, JSON lines, written before the chunk settles and named by its outcome."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from botocore import exceptions
from vectorline.v1 import chunk_pb2

from services.indexer.storage import objects
from services.runtime import aws, errors

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_s3 import S3Client


log = structlog.get_logger()


class RejectStore:
    """Writes and reads the objects ``rejects/<task>/<chunk>-<token>.jsonl``.

    A line is ``{"row_number": int, "reason": str, "message": str, "cells": [str, ...], "line": int}``. Every
    write has a token of its own, so that a zombie never replaces what the outcome names.
    """

    def __init__(self, client: "S3Client", bucket: str, caller: aws.Caller) -> None:
        self._client = client
        self._bucket = bucket
        self._caller = caller

    async def write(self, task_key: str, chunk: int, rejects: Sequence[chunk_pb2.Reject]) -> str:
        """Store a chunk's rejects and return the object's key; empty when there are none.

        Args:
            task_key: The task's key in the table: nothing that would lead to another place among the objects.
            chunk: Its number.
            rejects: In the order in which they are to be read.

        Raises:
            errors.Unavailable: S3 does not answer; the chunk must not settle.
        """
        if not rejects:
            return ""
        name = objects.key(uuid.uuid4().hex[:16], task_key, chunk)
        body = b"".join(_line(reject) for reject in rejects)
        await self._caller.call(
            self._client.put_object,
            Bucket=self._bucket,
            Key=name,
            Body=body,
            ContentType="application/jsonl",
        )
        return name

    async def read(self, key: str) -> list[chunk_pb2.Reject]:
        """The rejects of an object, in the order in which they were written.

        Raises:
            errors.NotFound: Somebody deleted the object; reason REJECTS_MISSING.
            errors.Unavailable: S3 does not answer.
        """
        try:
            body = await self._caller.call(self._fetch, key=key)
        except exceptions.ClientError as error:
            if aws.code(error) not in {"NoSuchKey", "404"}:
                raise
            log.exception("Rejects that the ledger names are gone.", action="rejects_missing", key=key)
            raise errors.NotFound(f"The rejects {key} were deleted.", reason="REJECTS_MISSING") from error
        return [_reject(line) for line in body.splitlines()]

    def _fetch(self, key: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=key)
        with answer["Body"] as body:
            return body.read()


def _line(reject: chunk_pb2.Reject) -> bytes:
    fields: dict[str, Any] = {
        "row_number": reject.row_number,
        "reason": reject.reason,
        "message": reject.message,
        "cells": list(reject.cells),
        "line": reject.line,
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _reject(line: bytes) -> chunk_pb2.Reject:
    return chunk_pb2.Reject(**orjson.loads(line))

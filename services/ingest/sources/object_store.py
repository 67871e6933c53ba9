"""Calls of the object store: in a thread, and what it does not do is UNAVAILABLE to callers."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import structlog
from botocore import exceptions as aws

from services.runtime import errors

log = structlog.get_logger()


async def call(method: Any, **arguments: Any) -> Any:
    """Call boto3 in a thread."""
    with translated():
        return await asyncio.to_thread(method, **arguments)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What S3 does not do is UNAVAILABLE to callers, and nothing is lost by it."""
    try:
        yield
    except (aws.ClientError, aws.BotoCoreError, aws.HTTPClientError, OSError) as error:
        log.warning("S3 did not do as asked.", action="s3_failed", error=str(error))
        raise errors.Unavailable("The object store does not answer now; try again.", retry_seconds=2.0) from error

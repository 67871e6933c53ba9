"""Calls of the line's own bucket: in a thread, with errors that say whether it is worth asking again."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import structlog
from botocore import exceptions as aws

from services.ingest import failures
from services.ingest.sources import s3_errors
from services.runtime import aws as aws_calls
from services.runtime import errors
from services.runtime.tracing import spans

log = structlog.get_logger()


async def call(method: Any, **arguments: Any) -> Any:
    """Call boto3 in a thread; raises as `translated`."""
    with translated(), spans.span(f"S3 {aws_calls.operation(method)}", spans.Kind.CLIENT):
        return await asyncio.to_thread(method, **arguments)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of boto3 into ours.

    Raises:
        errors.Unavailable: S3 does not do it now; nothing is lost by that.
        failures.StoreFailure: It will not: STORE_MISSING, STORE_FORBIDDEN or STORE_REFUSED.
    """
    try:
        yield
    except aws.ClientError as error:
        verdict = s3_errors.verdict(error)
        log.warning("S3 did not do as asked.", action="s3_failed", error=str(error))
        if verdict.kind is s3_errors.Kind.TRANSIENT:
            raise _not_now() from error
        raise _refused(verdict, error.operation_name) from error
    except (aws.BotoCoreError, aws.HTTPClientError, OSError) as error:
        log.warning("S3 did not do as asked.", action="s3_failed", error=str(error))
        raise _not_now() from error


def _not_now() -> errors.Unavailable:
    return errors.Unavailable("The object store does not answer now; try again.", retry_seconds=2.0)


def _refused(verdict: s3_errors.Verdict, operation: str) -> failures.StoreFailure:
    if verdict.kind is s3_errors.Kind.MISSING:
        return failures.StoreFailure("STORE_MISSING", f"An object of the line's own bucket {verdict.words}.")
    if verdict.kind is s3_errors.Kind.FORBIDDEN:
        return failures.StoreFailure(
            "STORE_FORBIDDEN",
            f"The line's own bucket (S3_BUCKET_NAME) refuses {operation} to this service; its operator must allow "
            "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket there.",
        )
    return failures.StoreFailure("STORE_REFUSED", f"{operation} in the line's own bucket: the object {verdict.words}.")

"""The one place where errors become a google.rpc.Status, and where everything else is hidden."""

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from services.runtime import errors
from services.runtime.interceptors import around

log = structlog.get_logger()

STATUS_DETAILS = "grpc-status-details-bin"
RETRY_AFTER = "retry-after"
# Names an HTTP status to the gateway (gateway/http_code.lua).
HTTP_CODE = "x-http-code"
# Both travel in the trailers, whose size peers and proxies limit: what is beyond is named by its number.
MOST_CHARACTERS = 1_000
VIOLATION_CHARACTERS = 300
VIOLATIONS_CHARACTERS = 3_000
# A service behind this one does not know us: not the caller's fault, and not for the caller to read.
OUR_IDENTITY = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def status_of(error: errors.ServiceError) -> status_pb2.Status:
    """The error as google.rpc.Status (AIP-193): ErrorInfo always, BadRequest and RetryInfo where they apply."""
    details: list[message.Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=errors.DOMAIN, metadata=error.metadata)
    ]
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_seconds * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=grpc.StatusCode[error.code].value[0], message=error.message[:MOST_CHARACTERS])
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _bad_request(violations: tuple[errors.FieldViolation, ...]) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    left = VIOLATIONS_CHARACTERS
    for number, each in enumerate(violations):
        field, description = each.field[:VIOLATION_CHARACTERS], each.description[:VIOLATION_CHARACTERS]
        left -= len(field) + len(description)
        if left < 0:
            bad.field_violations.add(description=f"And {len(violations) - number} more.")
            break
        bad.field_violations.add(field=field, description=description)
    return bad


class Failures(around.Around):
    """Turns ServiceErrors into statuses, passes on those of services called, and hides the rest behind an id."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        """Catch what the call raises."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except errors.ServiceError as error:
            await _abort(context, error)
        except grpc.aio.AioRpcError as error:
            await _pass_on(context, error, method)
        except Exception:
            incident = secrets.token_hex(8)
            log.exception("A call failed inside.", action="internal_error", method=method, incident=incident)
            words = f"Internal error. The log holds it under incident {incident}."
            await _abort(context, errors.Internal(words, metadata={"incident": incident}))


async def _abort(context: around.Context, error: errors.ServiceError) -> NoReturn:
    trailing: list[tuple[str, str | bytes]] = [(STATUS_DETAILS, status_of(error).SerializeToString())]
    if error.retry_seconds is not None:
        trailing.append((RETRY_AFTER, str(max(1, math.ceil(error.retry_seconds)))))
    if error.http_status is not None:
        await context.send_initial_metadata(((HTTP_CODE, str(error.http_status)),))
    await context.abort(grpc.StatusCode[error.code], error.message[:MOST_CHARACTERS], tuple(trailing))


async def _pass_on(context: around.Context, error: grpc.aio.AioRpcError, method: str) -> NoReturn:
    """A service behind this one refused: its own words if it spoke our form, else that it does not answer."""
    said = dict(error.trailing_metadata() or ())
    details = said.get(STATUS_DETAILS)
    if isinstance(details, bytes) and error.code() not in OUR_IDENTITY:
        trailing = tuple((name, said[name]) for name in (STATUS_DETAILS, RETRY_AFTER) if name in said)
        await context.abort(error.code(), error.details() or "", trailing)
    log.warning(
        "A service behind this one did not answer.",
        action="upstream_failed",
        method=method,
        code=error.code().name,
        details=error.details(),
    )
    await _abort(context, errors.Unavailable("A part of the line does not answer now.", retry_seconds=1.0))

"""Errors that callers meet. Each owns its gRPC code, a stable reason and its details.

Domain code raises these and imports no grpc; `interceptors.failures` is the one place that turns them into a
``google.rpc.Status`` and hides everything else.
"""

import dataclasses
from typing import ClassVar

DOMAIN = "vectorline"


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """One bad field of a request: its name and what is wrong with it."""

    field: str
    description: str


class ServiceError(Exception):
    """An error that a caller may see.

    Args:
        message: A sentence that names the thing, the limit and the remedy.
        reason: Stable UPPER_SNAKE name (ErrorInfo.reason).
        metadata: Context for ErrorInfo.metadata.
        violations: Bad fields, all at once (BadRequest).
        retry_seconds: When it is worth asking again (RetryInfo).
    """

    code: ClassVar[str] = "UNKNOWN"
    default_reason: ClassVar[str] = "UNKNOWN"
    # The HTTP status for REST callers where it is not the one that follows from the code.
    http_status: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata or {}
        self.violations = violations
        self.retry_seconds = retry_seconds


class InvalidArgument(ServiceError):
    """The request itself is wrong (400)."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_ARGUMENT"


class UnsupportedMediaType(InvalidArgument):
    """A body of a kind that is not read (415)."""

    default_reason = "UNSUPPORTED_MEDIA_TYPE"
    http_status = 415


class Unauthenticated(ServiceError):
    """No key, or a wrong one (401)."""

    code = "UNAUTHENTICATED"
    default_reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """A good key without the right (403)."""

    code = "PERMISSION_DENIED"
    default_reason = "PERMISSION_DENIED"


class NotFound(ServiceError):
    """No such thing, or not the caller's (404)."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """The idempotency key was used with another body (409)."""

    code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class Conflict(ServiceError):
    """The thing is not in a state that allows it (409; AIP: ABORTED maps to 409, FAILED_PRECONDITION to 400)."""

    code = "ABORTED"
    default_reason = "CONFLICT"


class ResourceExhausted(ServiceError):
    """A limit of the caller or of the line is reached (429)."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "RESOURCE_EXHAUSTED"


class Unavailable(ServiceError):
    """A dependency does not answer; the same call may succeed later (503)."""

    code = "UNAVAILABLE"
    default_reason = "UNAVAILABLE"


class Internal(ServiceError):
    """A defect of ours; the message names only an incident number (500)."""

    code = "INTERNAL"
    default_reason = "INTERNAL"

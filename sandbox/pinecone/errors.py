"""Refusals as Pinecone words them: one gRPC code, one message, one HTTP status."""

import enum


class Code(enum.IntEnum):
    """The gRPC status codes that the stand-in answers with."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 412,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}

# The code that a scripted HTTP status stands for; OUT_OF_RANGE and UNKNOWN share theirs with a more usual one.
CODE_OF_HTTP_STATUS = {status: code for code, status in HTTP_STATUS.items()} | {
    400: Code.INVALID_ARGUMENT,
    500: Code.INTERNAL,
}


class ApiError(Exception):
    """A request that is answered with an error status.

    Args:
        code: The gRPC status; REST answers with its HTTP twin.
        message: The text that the caller reads.
        retry_after_seconds: Sent as `retry-after` (an HTTP header, gRPC trailing metadata) when not None.

    """

    def __init__(self, code: Code, message: str, retry_after_seconds: float | None = None) -> None:
        """See the class."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def http_status(self) -> int:
        """The HTTP status that REST answers with."""
        return HTTP_STATUS[self.code]

    def headers(self) -> dict[str, str]:
        """What goes into the HTTP headers or the gRPC trailing metadata."""
        return {} if self.retry_after_seconds is None else {"retry-after": f"{self.retry_after_seconds:g}"}


def month_used() -> ApiError:
    """Build the refusal of every write for the rest of the month, as docs.pinecone.io words it."""
    words = "Request failed. You've reached your write unit limit for the current month"
    return ApiError(Code.RESOURCE_EXHAUSTED, f"{words} (2000000). To continue writing data, upgrade your plan.")


def storage_full() -> ApiError:
    """Build the refusal of every upsert while a project holds more than its plan allows."""
    words = "Request failed. You've reached the max storage allowed for project sandbox"
    return ApiError(
        Code.PERMISSION_DENIED, f"{words}. To update or upsert new data, delete records or upgrade your plan."
    )


def wrong_plane() -> ApiError:
    """Build the refusal of an operation on vectors by a document index."""
    words = "This index has a document schema: use the documents API to write and search it"
    return ApiError(Code.INVALID_ARGUMENT, words)


def invalid(message: str) -> ApiError:
    """Build the commonest refusal: INVALID_ARGUMENT, 400."""
    return ApiError(Code.INVALID_ARGUMENT, message)

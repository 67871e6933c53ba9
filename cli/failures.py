"""What can go wrong, as a person should read it. Every failure owns its exit code."""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Final, TypeVar

import grpc
from google.protobuf import json_format, message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status


class ExitCode(enum.IntEnum):
    """What the shell gets."""

    OK = 0
    FAILED = 1  # failed rows; a failed, cancelled or blocked task; a fault inside the line
    USAGE = 2  # a wrong flag, a bad argument, a refused key, a task that does not exist
    UNREACHABLE = 3  # the line does not answer
    BUSY = 4  # a limit of the key or of the line is reached: the same call may succeed later
    INTERRUPTED = 130  # Ctrl-C, as shells have it: 128 + SIGINT


@dataclasses.dataclass(frozen=True)
class BadField:
    """One bad field of a request and what is wrong with it."""

    field: str
    description: str


class CommandError(Exception):
    """Ends the command with one red line, one line for each bad field, and a hint.

    Args:
        message: One sentence.
        exit_code: What the shell gets.
        bad_fields: Bad fields of the request, all at once.
        hint: What to do about it.
        code: The gRPC code, where a call failed.
        status: The status as the line sent it, where a call failed.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode,
        bad_fields: tuple[BadField, ...] = (),
        hint: str = "",
        code: grpc.StatusCode | None = None,
        status: status_pb2.Status | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.bad_fields = bad_fields
        self.hint = hint
        self.code = code
        self.status = status


_Detail = TypeVar("_Detail", bound=message.Message)

_EXIT_CODES: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.OUT_OF_RANGE: ExitCode.USAGE,
    grpc.StatusCode.NOT_FOUND: ExitCode.USAGE,
    grpc.StatusCode.ALREADY_EXISTS: ExitCode.USAGE,
    grpc.StatusCode.ABORTED: ExitCode.USAGE,
    grpc.StatusCode.FAILED_PRECONDITION: ExitCode.USAGE,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.USAGE,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.USAGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExitCode.BUSY,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNREACHABLE,
}

_HINTS: Final = {
    grpc.StatusCode.UNAUTHENTICATED: "Give the key by --api-key or API_KEY.",
    grpc.StatusCode.PERMISSION_DENIED: "The key is good but lacks the scope for this; use another by --api-key.",
}

_START_HINT: Final = "Is it up? `make up` starts one on this machine; --help lists the flags for another."


def from_rpc(error: grpc.RpcError, service: str, address: str) -> CommandError:
    """The failure of a call to `service` at `address`, its google.rpc.Status details decoded."""
    assert isinstance(error, grpc.Call)  # every RpcError that a stub raises is also a Call
    code = error.code() or grpc.StatusCode.UNKNOWN
    details = error.details() or ""
    status = _status(error)
    violations = status and _detail(status, error_details_pb2.BadRequest)
    retry = status and _detail(status, error_details_pb2.RetryInfo)
    text, hint = _in_words(code, details, service, address, spoken=bool(status and status.details))
    if retry:
        hint = f"Try again in {retry.retry_delay.ToTimedelta().total_seconds():g} s."
    return CommandError(
        text,
        exit_code=_EXIT_CODES.get(code, ExitCode.FAILED),
        bad_fields=tuple(BadField(v.field, v.description) for v in violations.field_violations) if violations else (),
        hint=hint,
        code=code,
        status=status or status_pb2.Status(code=_number(code), message=text),
    )


def unknown_address(service: str, variable: str) -> CommandError:
    """Nobody said where `service` is."""
    return CommandError(
        f"No address of {service} is known.",
        exit_code=ExitCode.UNREACHABLE,
        hint=f"Set {variable} or its flag, or run where .run/endpoints.env is (`make up` writes it).",
        code=grpc.StatusCode.UNAVAILABLE,
    )


def as_json(failure: CommandError) -> dict[str, object]:
    """The same form as a REST error: google.rpc.Status with code, message and details."""
    status = failure.status or status_pb2.Status(code=_number(failure.code), message=failure.message)
    try:
        return _printed(status)
    except TypeError:  # a detail of a type that this client was not built with
        return _printed(status_pb2.Status(code=status.code, message=status.message))


def _printed(status: status_pb2.Status) -> dict[str, object]:
    return json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _number(code: grpc.StatusCode | None) -> int:
    return int(code_pb2.Code.Value(code.name)) if code else code_pb2.UNKNOWN


def _status(error: grpc.Call) -> status_pb2.Status | None:
    """The status that travels in the trailers, or None where the server sent none (or a broken one)."""
    try:
        status: status_pb2.Status | None = rpc_status.from_call(error)
    except (ValueError, message.DecodeError):
        return None
    return status


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    """The first detail of that kind."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            packed.Unpack(detail)
            return detail
    return None


def _in_words(code: grpc.StatusCode, details: str, service: str, address: str, *, spoken: bool) -> tuple[str, str]:
    """A sentence and a hint. `spoken`: a service of the line wrote `details`, not the transport."""
    if code is grpc.StatusCode.UNAVAILABLE and not spoken:
        # grpc wraps the cause in "failed to connect to all addresses; last error: …", with its number behind.
        cause = re.sub(r"\s*\(\d+\)$", "", details).rpartition(": ")[2].strip().rstrip(".")
        return f"The line cannot be reached: {service} at {address} ({cause or 'unavailable'}).", _START_HINT
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and not spoken:
        return f"The line does not answer in time: {service} at {address}.", _START_HINT
    if code is grpc.StatusCode.UNIMPLEMENTED and not spoken:
        return f"The line at {address} does not offer this (its version differs from this command's).", ""
    return details or f"{service} answered {code.name}.", _HINTS.get(code, "")

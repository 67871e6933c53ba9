"""What can go wrong, as a person should read it. Every failure owns its exit code."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import vectorline_client


class ExitCode(enum.IntEnum):
    """What the shell gets."""

    OK = 0
    FAILED = 1  # failed rows; a failed, cancelled or blocked task; a fault inside the line
    USAGE = 2  # a wrong flag, a bad argument, a refused key, a task that does not exist
    UNREACHABLE = 3  # the line does not answer
    BUSY = 4  # a limit of the key or of the line is reached: the same call may succeed later
    INTERRUPTED = 130  # Ctrl-C, as shells have it: 128 + SIGINT


class CommandError(Exception):
    """Ends the command with one red line, one line for each bad field, and a hint.

    Args:
        message: One sentence.
        exit_code: What the shell gets.
        bad_fields: Bad fields of the request, all at once.
        hint: What to do about it.
        status: The error as REST gives it, where a call failed.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode,
        bad_fields: Sequence[vectorline_client.BadField] = (),
        hint: str = "",
        status: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.bad_fields = tuple(bad_fields)
        self.hint = hint
        self.status = status


_EXIT_CODES: Final[Mapping[type[vectorline_client.ApiError], ExitCode]] = {
    vectorline_client.InvalidRequest: ExitCode.USAGE,
    vectorline_client.NotFound: ExitCode.USAGE,
    vectorline_client.Conflict: ExitCode.USAGE,
    vectorline_client.Unauthenticated: ExitCode.USAGE,
    vectorline_client.NotAllowed: ExitCode.USAGE,
    vectorline_client.QuotaExceeded: ExitCode.BUSY,
    vectorline_client.Unavailable: ExitCode.UNREACHABLE,
}
_HINTS: Final[Mapping[type[vectorline_client.ApiError], str]] = {
    vectorline_client.Unauthenticated: "Give the key by --api-key, API_KEY or a profile.",
    vectorline_client.NotAllowed: "The key is good but may not do this; use another by --api-key or --profile.",
}
_START_HINT: Final = "Is it up? `make up` starts one on this machine; --help lists the flags for another."


def of_client(error: vectorline_client.VectorlineError) -> CommandError:
    """The failure that an error of the client is."""
    if not isinstance(error, vectorline_client.ApiError):
        return CommandError(str(error), exit_code=ExitCode.FAILED)
    exit_code = next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), ExitCode.FAILED)
    hint = next((words for kind, words in _HINTS.items() if isinstance(error, kind)), "")
    if isinstance(error, vectorline_client.Unavailable) and not error.reason:  # nobody of the line said it
        hint = _START_HINT
    if error.retry_after is not None:
        hint = f"Try again in {error.retry_after:g} s."
    return CommandError(error.message, exit_code=exit_code, bad_fields=error.fields, hint=hint, status=error.status)


def nowhere() -> CommandError:
    """Nobody said where the line is."""
    return CommandError(
        "No address of a line is known.",
        exit_code=ExitCode.UNREACHABLE,
        hint="Set GATEWAY_URL or --gateway, add a profile, or run where .run/endpoints.env is (`make up` writes it).",
    )


def as_json(failure: CommandError) -> Mapping[str, Any]:
    """The same form as a REST error: google.rpc.Status with code, message and details."""
    return failure.status or {
        "code": 14 if failure.exit_code is ExitCode.UNREACHABLE else 2,
        "message": failure.message,
        "details": [],
    }

"""What can go wrong, as types. Each says what it is about, what is wrong with it and, where it can, what to do.

`ApiError` and those below it: a call was refused, or did not come through. `TaskError` and those below it: the calls
went well, and the task did not end as was wished.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf import json_format, message
from vectorline_messages import messages

from vectorline_client import wire

_DETAILS: Final = "grpc-status-details-bin"
_RETRY_AFTER: Final = "retry-after"


class VectorlineError(Exception):
    """Any error of this client."""


@dataclasses.dataclass(frozen=True)
class BadField:
    """One bad field of a request, and what is wrong with it."""

    field: str
    description: str


class ApiError(VectorlineError):
    """A call was refused, or did not come through.

    Attributes:
        message: A sentence.
        code: The gRPC code, e.g. NOT_FOUND.
        reason: The stable name of what is wrong, e.g. TASK_NOT_FOUND; empty where the line itself did not answer.
        metadata: What it is about, e.g. {"task_id": …}.
        fields: The bad fields of the request, all at once.
        retry_after: Seconds after which it is worth asking again; None: nobody said.
        status: The whole as REST gives it: {"code", "message", "details"}.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: tuple[BadField, ...] = (),
        retry_after: float | None = None,
        status: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.fields = fields
        self.retry_after = retry_after
        self.status = dict(status or {"code": _NUMBERS.get(code, 2), "message": message, "details": []})

    def __str__(self) -> str:
        """The sentence, and the bad fields below it."""
        return "\n".join([self.message, *(f"  {bad.field}: {bad.description}" for bad in self.fields)])


class InvalidRequest(ApiError):
    """The request itself is wrong; `fields` names every bad one."""


class Unauthenticated(ApiError):
    """There is no key, or a wrong one."""


class NotAllowed(ApiError):
    """The key is good, and may not do this."""


class NotFound(ApiError):
    """There is no such thing, or it is another key's."""


class Conflict(ApiError):
    """The thing is not in a state that allows it."""


class QuotaExceeded(ApiError):
    """A limit of the key or of the line is reached: try again after `retry_after` seconds."""


class Unavailable(ApiError):
    """The line cannot be reached, or a part of it does not answer now. The same call may succeed later."""


class UnknownAddress(Unavailable):
    """Nobody said where the service is that this call is for."""


class DeadlineExceeded(Unavailable):
    """The line did not answer in time. What was asked for may have been done."""


class Unsupported(ApiError):
    """The line is of a version that does not offer this."""


class InternalError(ApiError):
    """A fault inside the line; its log holds it under the incident of `metadata`."""


class TaskError(VectorlineError):
    """A task did not end as was wished.

    Attributes:
        task: The task as it was then.
    """

    def __init__(self, task: messages.Task, words: str) -> None:
        super().__init__(words)
        self.task = task

    @property
    def reason(self) -> str:
        """The stable name of why, e.g. SOURCE_NOT_FOUND; empty where rows are what failed."""
        return self.task.error_reason or ""


class RowsRejected(TaskError):
    """Some rows were rejected; the others are in the index. `client.rejects(task_id)` has them with their reasons.

    Attributes:
        by_reason: How many, by reason.
    """

    def __init__(self, task: messages.Task) -> None:
        self.by_reason: dict[str, int] = dict(task.result.failed_by_reason) if task.result else {}
        most = sorted(self.by_reason.items(), key=lambda each: (-each[1], each[0]))
        named = ", ".join(f"{rows:,} {reason}" for reason, rows in most)
        counts = task.progress
        super().__init__(
            task,
            f"{counts.failed_records:,} of {counts.total_records:,} rows of task {task.task_id} were rejected"
            f"{f': {named}' if named else ''}.",
        )


class TaskFailed(TaskError):
    """Nothing was indexed, or the source cannot be used."""

    def __init__(self, task: messages.Task) -> None:
        super().__init__(task, f"Task {task.task_id} failed: {task.error or 'no row was indexed'}{_named(task)}")


class TaskCancelled(TaskError):
    """Somebody stopped it."""

    def __init__(self, task: messages.Task) -> None:
        super().__init__(task, f"Task {task.task_id} was cancelled.")


class Blocked(TaskError):
    """It waits for somebody to mend an account or a namespace; then it goes on by itself, or by `retry`.

    A mirror may wait for somebody to `confirm` what it would remove (MIRROR_HELD): `task.held` says how much.
    """

    def __init__(self, task: messages.Task) -> None:
        super().__init__(task, f"Task {task.task_id} is blocked: {task.error or 'nobody said why'}{_named(task)}")


class WaitTimeout(VectorlineError, TimeoutError):
    """A task was not over within the time that was given for waiting. It goes on.

    Attributes:
        task: The task as it was last seen; None: it was not seen.
    """

    def __init__(self, task_id: str, seconds: float, task: messages.Task | None) -> None:
        state = f"; it is {task.status}" if task is not None else ""
        super().__init__(f"Task {task_id} was not over within {seconds:g} s{state}.")
        self.task = task


def _named(task: messages.Task) -> str:
    return f" ({task.error_reason})" if task.error_reason else ""


_KINDS: Final[Mapping[str, type[ApiError]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": NotAllowed,
    "NOT_FOUND": NotFound,
    "ABORTED": Conflict,
    "ALREADY_EXISTS": Conflict,
    "FAILED_PRECONDITION": Conflict,
    "RESOURCE_EXHAUSTED": QuotaExceeded,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unsupported,
    "INTERNAL": InternalError,
}
_NUMBERS: Final = {code.name: int(code.value[0]) for code in grpc.StatusCode}


def from_call(error: grpc.RpcError, service: str, address: str) -> ApiError:
    """What a failed call to a service at an address means; its google.rpc.Status decoded.

    Args:
        error: As grpc or grpc.aio raised it.
        service: ingest, embedder or indexer.
        address: Where it was sought.
    """
    code = error.code().name if error.code() is not None else "UNKNOWN"
    said = error.details() or ""
    pairs: Any = error.trailing_metadata() or ()
    trailing = dict(pairs)
    status = _status(trailing.get(_DETAILS))
    details = {each.DESCRIPTOR.name: each for each in _unpacked(status)} if status is not None else {}
    info: Any = details.get("ErrorInfo")
    bad: Any = details.get("BadRequest")
    words = said if status is not None else _in_words(code, said, service, address)
    return _KINDS.get(code, ApiError)(
        words or f"{service} answered {code}.",
        code=code,
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else {},
        fields=tuple(BadField(each.field, each.description) for each in bad.field_violations) if bad else (),
        retry_after=_retry_after(details.get("RetryInfo"), trailing.get(_RETRY_AFTER)),
        status=_printed(status) if status is not None else None,
    )


def _status(packed: Any) -> Any:
    """The status in the trailers; None where the line sent none, or a broken one."""
    if not isinstance(packed, bytes):
        return None
    try:
        return wire.kind("google.rpc.Status").FromString(packed)
    except message.DecodeError:
        return None


def _unpacked(status: Any) -> list[message.Message]:
    found = []
    for packed in status.details:
        try:
            detail = wire.kind(packed.type_url.rpartition("/")[2])()
            packed.Unpack(detail)
        except (KeyError, message.DecodeError):  # of a newer line
            continue
        found.append(detail)
    return found


def _retry_after(info: Any, header: Any) -> float | None:
    if info is not None:
        return float(info.retry_delay.ToTimedelta().total_seconds())
    return float(header) if isinstance(header, str) and header.isascii() and header.isdigit() else None


def _printed(status: Any) -> dict[str, Any] | None:
    try:
        return json_format.MessageToDict(
            status,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=wire.POOL,
        )
    except (TypeError, KeyError):  # a detail of a kind that this client does not know
        return None


def _in_words(code: str, details: str, service: str, address: str) -> str:
    """What the transport says, as a sentence."""
    if code == "UNAVAILABLE":
        # grpc wraps the cause in "failed to connect to all addresses; last error: …", with its number behind.
        cause = re.sub(r"\s*\(\d+\)$", "", details).rpartition(": ")[2].strip().rstrip(".")
        return f"The line cannot be reached: {service} at {address} ({cause or 'unavailable'})."
    if code == "DEADLINE_EXCEEDED":
        return f"The line does not answer in time: {service} at {address}."
    if code == "UNIMPLEMENTED":
        return f"The line at {address} does not offer this (its version differs from this client's)."
    return details

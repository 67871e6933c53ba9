# Made by unasync.py of _async/task_handle.py: edit that one.
"""A task that was submitted, as something to hold on to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from vectorline_messages import messages

from vectorline_client import outcome

if TYPE_CHECKING:
    from vectorline_client._sync import client


# What the line answers when it takes a task.
Submitted: TypeAlias = (
    "messages.ProcessResponse | messages.VerifyResponse | messages.AdoptResponse | messages.RemoveResponse"
)


class TaskHandle:
    """A task on the line: to wait for, watch, stop or retry.

    Attributes:
        task_id: Its id.
        submitted: What the line answered when it took the task.
    """

    def __init__(self, owner: client.Client, submitted: Submitted) -> None:
        self._client = owner
        self.task_id = submitted.task_id
        self.submitted = submitted

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task_id!r})"

    def status(self) -> messages.Task:
        """The task as it is now."""
        return self._client.task(self.task_id)

    def watch(self) -> Iterator[messages.Task]:
        """The task whenever it changes, until it is over."""
        return self._client.watch(self.task_id)

    def wait(
        self,
        progress: Callable[[outcome.Progress], object] | None = None,
        *,
        timeout: float | None = None,
        check: bool = True,
    ) -> messages.Task:
        """See `Client.wait`."""
        return self._client.wait(self.task_id, progress, timeout=timeout, check=check)

    def rejects(self, *, include_skipped: bool = False) -> Iterator[dict[str, Any]]:
        """The rejected rows; see `Client.rejects`."""
        return self._client.rejects(self.task_id, include_skipped=include_skipped)

    def cancel(self) -> None:
        """Stop it."""
        self._client.cancel(self.task_id)

    def confirm(self, checksum: str) -> TaskHandle:
        """Let it remove what it told, if it is a held mirror; see `Client.confirm`."""
        return self._client.confirm(self.task_id, checksum)

    def retry(self, *, all: bool = False) -> TaskHandle:  # noqa: A002 (as the API calls it)
        """Take its rejected rows again, or let it go on if it is blocked; see `Client.retry`."""
        return self._client.retry(self.task_id, all=all)

"""A task that was submitted, as something to hold on to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from vectorline_messages import messages

from vectorline_client import outcome

if TYPE_CHECKING:
    from vectorline_client._async import client


# What the line answers when it takes a task.
Submitted: TypeAlias = (
    "messages.ProcessResponse | messages.VerifyResponse | messages.AdoptResponse | messages.RemoveResponse"
)


class AsyncTaskHandle:
    """A task on the line: to wait for, watch, stop or retry.

    Attributes:
        task_id: Its id.
        submitted: What the line answered when it took the task.
    """

    def __init__(self, owner: client.AsyncClient, submitted: Submitted) -> None:
        self._client = owner
        self.task_id = submitted.task_id
        self.submitted = submitted

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.task_id!r})"

    async def status(self) -> messages.Task:
        """The task as it is now."""
        return await self._client.task(self.task_id)

    def watch(self) -> AsyncIterator[messages.Task]:
        """The task whenever it changes, until it is over."""
        return self._client.watch(self.task_id)

    async def wait(
        self,
        progress: Callable[[outcome.Progress], object] | None = None,
        *,
        timeout: float | None = None,
        check: bool = True,
    ) -> messages.Task:
        """See `AsyncClient.wait`."""
        return await self._client.wait(self.task_id, progress, timeout=timeout, check=check)

    def rejects(self, *, include_skipped: bool = False) -> AsyncIterator[dict[str, Any]]:
        """The rejected rows; see `AsyncClient.rejects`."""
        return self._client.rejects(self.task_id, include_skipped=include_skipped)

    async def cancel(self) -> None:
        """Stop it."""
        await self._client.cancel(self.task_id)

    async def confirm(self, checksum: str) -> AsyncTaskHandle:
        """Let it remove what it told, if it is a held mirror; see `AsyncClient.confirm`."""
        return await self._client.confirm(self.task_id, checksum)

    async def retry(self, *, all: bool = False) -> AsyncTaskHandle:  # noqa: A002 (as the API calls it)
        """Take its rejected rows again, or let it go on if it is blocked; see `AsyncClient.retry`."""
        return await self._client.retry(self.task_id, all=all)

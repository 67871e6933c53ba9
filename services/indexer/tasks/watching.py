"""Tasks that callers watch: each is read once a moment, however many watch it."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from vectorline.v1 import task_pb2

from services.indexer.ledger import items
from services.indexer.storage import table
from services.indexer.tasks import messages
from services.runtime import errors

Look = tuple[table.Item, task_pb2.Task]


class _Poll:
    """One task, read again and again while anybody watches it."""

    def __init__(self, first: Look) -> None:
        self.watchers = 0
        self.latest = first
        self.failure: errors.ServiceError | None = None
        self.task: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def tell(self) -> None:
        """Another look was taken."""
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    async def next(self) -> None:
        """Until another look is taken.

        Raises:
            errors.ServiceError: It failed, for all alike.
        """
        await self._looked.wait()
        if self.failure is not None:
            raise self.failure


class Watches:
    """Watches tasks for callers.

    Args:
        read: Reads a task.
        poll_seconds: Between two looks at it.
        beat_seconds: A watcher hears something at least this often.
    """

    def __init__(self, read: Callable[[str], Awaitable[Look]], *, poll_seconds: float, beat_seconds: float) -> None:
        self._read = read
        self._poll_seconds = poll_seconds
        # Said at a look that the next one would be too late for, with as much left for the look itself.
        self._beat_seconds = max(0.0, beat_seconds - 2 * poll_seconds)
        self._polls: dict[str, _Poll] = {}
        self._of_key: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def counted(self, key_id: str, most: int) -> Iterator[None]:
        """One more watch of a key; `most` 0: as many as it likes.

        Raises:
            errors.ResourceExhausted: It has that many in this process.
        """
        if most and self._of_key[key_id] >= most:
            raise errors.ResourceExhausted(
                f"The key {key_id!r} watches {most} tasks, as many as it may. End a watch, or ask for the status.",
                reason="WATCHES_QUOTA_EXCEEDED",
                metadata={"limit": str(most), "unit": "watches"},
                retry_seconds=5.0,
            )
        self._of_key[key_id] += 1
        try:
            yield
        finally:
            self._of_key[key_id] -= 1
            if not self._of_key[key_id]:
                del self._of_key[key_id]

    async def follow(self, task_id: str, visible: Callable[[table.Item], bool]) -> AsyncGenerator[task_pb2.Task, None]:
        """A task, whenever something about it changes, and now and then if nothing does; ends with its last status.

        Raises:
            errors.NotFound: There is no such task, or it is not visible.
            errors.Unavailable: The ledger does not answer.
        """
        poll = self._polls.get(task_id)
        if poll is None:
            first = await self._read(task_id)
            poll = self._polls.get(task_id) or _Poll(first)  # another watcher may have been faster
        if not visible(poll.latest[0]):
            raise items.unknown(task_id)
        with self._joined(task_id, poll):
            loop = asyncio.get_running_loop()
            last, said = poll.latest[1], loop.time()
            yield last
            while last.status not in items.TERMINAL:
                await poll.next()
                task = poll.latest[1]
                if not messages.unchanged(task, last) or loop.time() >= said + self._beat_seconds:
                    last, said = task, loop.time()
                    yield last

    @contextlib.contextmanager
    def _joined(self, task_id: str, poll: _Poll) -> Iterator[None]:
        if poll.latest[1].status in items.TERMINAL:  # there is nothing more to come
            yield
            return
        poll.watchers += 1
        if poll.task is None:
            self._polls[task_id] = poll
            poll.task = asyncio.create_task(self._poll(task_id, poll))
        try:
            yield
        finally:
            poll.watchers -= 1
            if not poll.watchers:
                poll.task.cancel()
                self._forget(task_id, poll)

    async def _poll(self, task_id: str, poll: _Poll) -> None:
        while poll.latest[1].status not in items.TERMINAL and poll.failure is None:
            await asyncio.sleep(self._poll_seconds)
            try:
                poll.latest = await self._read(task_id)
            except errors.ServiceError as error:
                poll.failure = error
            except Exception as defect:
                poll.failure = errors.Internal("The task could not be read.")
                raise defect from None
            finally:
                if poll.failure is not None or poll.latest[1].status in items.TERMINAL:
                    self._forget(task_id, poll)  # whoever comes now reads anew
                poll.tell()

    def _forget(self, task_id: str, poll: _Poll) -> None:
        if self._polls.get(task_id) is poll:
            del self._polls[task_id]

"""How an upload and a task are shown while they go on: a moving bar, plain lines, or JSON lines."""

from __future__ import annotations

import contextlib
from typing import Protocol

from cli import live, plain, screen
from vectorline_client import messages


class UploadDisplay(Protocol):
    """Follows an upload. A context manager."""

    def sent(self, sent_bytes: int) -> None:
        """So many bytes are on their way in all. Called from another thread."""


class TaskDisplay(Protocol):
    """Follows a task. A context manager."""

    def show(self, task: messages.Task) -> None:
        """The task as it is now."""

    def reconnecting(self) -> None:
        """The stream of news broke and is being opened anew."""


class JsonTask:
    """A JSON line for every change."""

    def __init__(self, where: screen.Screen) -> None:
        self._where = where

    def show(self, task: messages.Task) -> None:
        self._where.emit(task)

    def reconnecting(self) -> None:
        """Say nothing: the lines go on when the news do."""


class Silent:
    """An upload under --json."""

    def sent(self, sent_bytes: int) -> None:
        """Say nothing."""


def upload_display(
    where: screen.Screen, name: str, total_bytes: int | None
) -> contextlib.AbstractContextManager[UploadDisplay]:
    """The display of an upload that suits `where`."""
    if where.json:
        return contextlib.nullcontext(Silent())
    if where.moving:
        return live.LiveUpload(where.out, name, total_bytes)
    return contextlib.nullcontext(plain.PlainUpload(where.say, name, total_bytes))


def task_display(where: screen.Screen) -> contextlib.AbstractContextManager[TaskDisplay]:
    """The display of a task that suits `where`."""
    if where.json:
        return contextlib.nullcontext(JsonTask(where))
    if where.moving:
        return live.LiveTask(where.out)
    return contextlib.nullcontext(plain.PlainTask(where.say))

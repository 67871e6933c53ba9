"""Progress on a terminal: one line that moves, gone when its work is done."""

from __future__ import annotations

import types
from typing import Final, Self

from rich import console, progress

from cli import outcome, pace, screen
from vectorline_client import messages

BAR_COLUMNS: Final = 24  # wide enough to move, narrow enough for 80 columns with everything beside it

WORDS: Final = {
    "pending": "accepted",
    "queued": "waiting for its turn",
    "processing": "scanning",
    "processing_chunks": "indexing",
}


class _Live:
    """A rich progress line as a context manager."""

    def __init__(self, where: console.Console, *columns: progress.ProgressColumn) -> None:
        self._bar = progress.Progress(
            progress.SpinnerColumn(style="cyan"), *columns, console=where, transient=True, refresh_per_second=10
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self._bar.stop()


class LiveUpload(_Live):
    """A bar of bytes."""

    def __init__(self, where: console.Console, name: str, total_bytes: int | None) -> None:
        super().__init__(
            where,
            progress.TextColumn("uploading [bold]{task.fields[name]}[/]"),
            progress.BarColumn(BAR_COLUMNS),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(compact=True),
        )
        name = screen.printable(name).replace("[", "(")
        self._line = self._bar.add_task("", total=total_bytes, name=name)

    def sent(self, sent_bytes: int) -> None:
        """Move to so many bytes."""
        self._bar.update(self._line, completed=sent_bytes)


class LiveTask(_Live):
    """A bar of rows with their pace, the time left and what failed; it pulses until the rows are counted."""

    def __init__(self, where: console.Console) -> None:
        super().__init__(
            where,
            progress.TextColumn("[bold]{task.fields[word]}[/]"),
            progress.BarColumn(BAR_COLUMNS),
            progress.TextColumn("{task.fields[rows]}"),
            progress.TextColumn("[cyan]{task.fields[rate]}[/]"),
            progress.TextColumn("{task.fields[left]}"),
            progress.TextColumn("[red]{task.fields[failed]}[/][yellow]{task.fields[trouble]}[/]"),
        )
        self._pace = pace.Pace()
        self._line = self._bar.add_task(
            "", total=None, word="looking", rows="", rate="", left="", failed="", trouble=""
        )

    def show(self, task: messages.Task) -> None:
        """The task as it is now."""
        total = task.progress.total_records
        done = outcome.rows_with_outcome(task)
        if total:
            self._pace.add(done)
        rate, left = self._pace.rows_per_second, self._pace.seconds_left(total - done)
        failed = task.progress.failed_records
        self._bar.update(
            self._line,
            total=total or None,
            completed=done,
            word=WORDS.get(task.status, task.status),
            rows=f"{done:,}/{total:,}" if total else "",
            rate=f"{rate:,.0f} rows/s" if rate else "",
            left=f"{pace.clock_time(left)} left" if left is not None else "",
            failed=f"{failed:,} failed " if failed else "",
            trouble=f"stalled since {task.stalled_since:%H:%M:%S}" if task.stalled_since is not None else "",
        )

    def reconnecting(self) -> None:
        """The stream broke."""
        self._bar.update(self._line, trouble="connecting again ...")

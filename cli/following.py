"""Following a task through broken streams."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import grpc
from vectorline.v1 import task_pb2

from cli import connection, failures, outcome

FIRST_TRIES: Final = 4  # to open the first stream: a line that is not there is said to be so within seconds
GIVE_UP_SECONDS: Final = 120.0  # after the last word of a line that was there: a restart takes less
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0

# DEADLINE_EXCEEDED is the stream's own age limit, so that opening it anew repeats nothing. RESOURCE_EXHAUSTED: the line
# may not have noticed yet that the stream before is over, and a key has only so many.
_BREAKS: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
# What a transport says of a stream that was reset: Envoy resets the streams of an indexer that dies, and gRPC calls
# that INTERNAL. A service of the line that means it says so with details.
_RESETS: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED})


def follow(
    line: connection.Line,
    task_id: str,
    *,
    on_break: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[task_pb2.Task]:
    """Yield the task whenever it changes, until it is over (`outcome.is_over`).

    A stream that breaks, or that ends although the task goes on (a server that drains), is opened anew after a
    pause that doubles, with jitter.

    Args:
        line: The line.
        task_id: The task.
        on_break: Called before each pause.
        clock: Seconds, monotonic.
        sleep: Waits for that many seconds.

    Raises:
        failures.CommandError: The line refuses, or cannot be reached any more.
    """
    last_word: float | None = None
    tries = 0
    while True:
        tries += 1
        failure = None
        try:
            for task in line.watch_task(task_id):
                last_word, tries = clock(), 0
                yield task
                if outcome.is_over(task):
                    return
        except failures.CommandError as error:
            if not _is_break(error):
                raise
            failure = error
        given_up = tries >= FIRST_TRIES if last_word is None else clock() - last_word > GIVE_UP_SECONDS
        if given_up:
            raise failure or failures.CommandError(
                "The line ends every watch of this task before the task is over.",
                exit_code=failures.ExitCode.UNREACHABLE,
            )
        on_break()
        sleep(_pause_seconds(tries))


def _is_break(error: failures.CommandError) -> bool:
    """Whether the stream ended for a reason that says nothing about the task."""
    spoken = error.status is not None and bool(error.status.details)
    return error.code in _BREAKS or (error.code in _RESETS and not spoken)


def _pause_seconds(tries: int) -> float:
    """Exponential, with jitter so that the watchers of a restarted service do not come back all at once."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

# Made by unasync.py of _async/watching.py: edit that one.
"""Following a task through broken streams."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Final

from vectorline_messages import messages

from vectorline_client import errors, outcome, wire
from vectorline_client._sync import calls, platform

STREAM_SECONDS: Final = 300.0  # of one stream; then it is opened anew, so that a stuck one is not for ever
FIRST_TRIES: Final = 4  # to open the first stream: a line that is not there is said to be so within seconds
GIVE_UP_SECONDS: Final = 120.0  # after the last word of a line that was there: a restart takes less
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0

# DEADLINE_EXCEEDED is the stream's own age limit, so that opening it anew repeats nothing. RESOURCE_EXHAUSTED: the line
# may not have noticed yet that the stream before is over, and a key has only so many.
_BREAKS: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
# What a transport says of a stream that was reset: Envoy resets the streams of an indexer that dies, and gRPC calls
# that INTERNAL. A service of the line that means it says so with a reason.
_RESETS: Final = frozenset({"INTERNAL", "UNKNOWN", "CANCELLED"})


def watch(
    calling: calls.Calls,
    task_id: str,
    *,
    until: float | None = None,
    on_break: Callable[[], object] | None = None,
) -> Iterator[messages.Task]:
    """Yield the task whenever it changes, until it is over (`outcome.is_over`) or the time is up.

    A stream that breaks, or that ends although the task goes on (a server that drains), is opened anew after a pause
    that doubles, with jitter.

    Args:
        calling: The line.
        task_id: The task.
        until: By time.monotonic; None: as long as it takes.
        on_break: Called before each pause.

    Raises:
        errors.ApiError: The line refuses, or cannot be reached any more.
    """
    last_word: float | None = None
    tries = 0
    while True:
        tries += 1
        failure = None
        try:
            for raw in calling.stream("WatchTask", {"task_id": task_id}, _left(until)):
                last_word, tries = time.monotonic(), 0
                task = wire.read(messages.Task, raw)
                yield task
                if outcome.is_over(task):
                    return
        except errors.ApiError as error:
            if not _is_break(error):
                raise
            failure = error
        if until is not None and time.monotonic() >= until:
            return
        if tries >= FIRST_TRIES if last_word is None else time.monotonic() - last_word > GIVE_UP_SECONDS:
            raise failure or errors.Unavailable("The line ends every watch of this task before the task is over.")
        if on_break is not None:
            on_break()
        platform.sleep(_pause_seconds(tries))


def _left(until: float | None) -> float:
    return STREAM_SECONDS if until is None else max(0.1, min(STREAM_SECONDS, until - time.monotonic()))


def _is_break(error: errors.ApiError) -> bool:
    """Whether the stream ended for a reason that says nothing about the task."""
    return error.code in _BREAKS or (error.code in _RESETS and not error.reason)


def _pause_seconds(tries: int) -> float:
    """Exponential, with jitter so that the watchers of a restarted service do not come back all at once."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10))
    return longest * random.uniform(0.5, 1.0)

"""What can go wrong with Valkey. The client library's exceptions end here."""

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import redis.exceptions

ANY: Final = (redis.exceptions.RedisError, OSError)
"""Whatever the client raises, bugs included: for those who have an answer for each of them (they fail closed)."""

# Error replies that the library has a class for: it strips their first word, so only the class says what they are.
_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
_NOT_SERVING = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoScriptError,
    redis.exceptions.ClusterDownError,  # MASTERDOWN too
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,  # MOVED too
    redis.exceptions.NoPermissionError,
)
# The others keep theirs. BUSYGROUP and BUSYKEY are no BUSY: whole words count.
_NOT_SERVING_WORDS = frozenset({"BUSY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "READONLY", "REDIRECT", "UNBLOCKED"})
# Replies of a node that another may have taken the place of: those of a demotion, a partition, a start.
_LEFT = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.AskError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.AuthenticationError,
)
_LEFT_WORDS = frozenset({"MASTERDOWN", "NOREPLICAS", "READONLY", "REDIRECT", "UNBLOCKED"})
# A script of an older server's puts its own words around the reply that stopped it.
_WITHIN_SCRIPT = re.compile(r"(?:ERR )?Error running script .*?: -?(OOM|READONLY|MISCONF|NOREPLICAS|MASTERDOWN) ")


class NotNow(Exception):
    """Valkey cannot be reached or does not serve writes now. Nothing is known about the call: it may have happened.

    The cause is chained.
    """


class OutOfMemory(NotNow):
    """Valkey is out of memory and refused the call as a whole."""


def _word(error: BaseException) -> str:
    """The first word of an error reply that has no class of its own."""
    text = str(error)
    within = _WITHIN_SCRIPT.match(text)
    return within[1] if within else text.partition(" ")[0]


def left(error: BaseException) -> bool:
    """Whether a reply says that this node does not serve writes, though another one may: its connection is no use."""
    return isinstance(error, _LEFT) or (
        isinstance(error, redis.exceptions.ResponseError) and _word(error) in _LEFT_WORDS
    )


def not_now(error: BaseException) -> NotNow | None:
    """What an error of the client library means, if it means "not now"; None: it is a bug."""
    word = _word(error) if isinstance(error, redis.exceptions.ResponseError) else ""
    meaning: NotNow | None = None
    if isinstance(error, redis.exceptions.OutOfMemoryError) or word == "OOM":
        meaning = OutOfMemory(f"Valkey is out of memory: {error}")
    elif isinstance(error, redis.exceptions.AuthenticationError):
        meaning = NotNow(f"Valkey refuses the user or the password: {error}")
    elif isinstance(error, _AWAY):
        meaning = NotNow(f"Valkey cannot be reached: {error}")
    elif isinstance(error, _NOT_SERVING) or word in _NOT_SERVING_WORDS:
        meaning = NotNow(f"Valkey does not serve now: {type(error).__name__}: {error}")
    return meaning


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the client library's "not now" errors into ours; others are bugs and pass.

    Raises:
        OutOfMemory: Valkey is out of memory.
        NotNow: Any other reason why Valkey does not serve now.
    """
    try:
        yield
    except ANY as error:
        if (meaning := not_now(error)) is not None:
            raise meaning from error
        raise

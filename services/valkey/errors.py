"""What can go wrong with Valkey. The client library's exceptions end here."""

import contextlib
from collections.abc import Iterator
from typing import Final

import redis.exceptions

ANY: Final = (redis.exceptions.RedisError, OSError)
"""Whatever the client raises, bugs included: for those who have an answer for each of them (they fail closed)."""

# Error replies that mean "not now": the server is there, but does not serve writes at the moment.
_NOT_NOW = (
    "OOM",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "BUSY",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "NOSCRIPT",
    "TRYAGAIN",
)


class NotNow(Exception):
    """Valkey cannot be reached or does not serve writes now. Nothing is known about the call: it may have happened.

    The cause is chained.
    """


class OutOfMemory(NotNow):
    """Valkey is out of memory and refused the call as a whole."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the client library's "not now" errors into ours; others are bugs and pass.

    Raises:
        OutOfMemory: Valkey is out of memory.
        NotNow: Any other reason why Valkey does not serve now.
    """
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise OutOfMemory(f"Valkey is out of memory: {error}") from error
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
        raise NotNow(f"Valkey cannot be reached: {error}") from error
    except redis.exceptions.NoScriptError as error:
        raise NotNow("Valkey lost its scripts in mid call.") from error
    except redis.exceptions.ReadOnlyError as error:
        raise NotNow(f"Valkey is read-only: {error}") from error
    except redis.exceptions.ResponseError as error:
        text = str(error)
        if text.startswith("OOM"):
            raise OutOfMemory(f"Valkey is out of memory: {text}") from error
        if text.startswith(_NOT_NOW):
            raise NotNow(f"Valkey does not serve now: {text}") from error
        raise

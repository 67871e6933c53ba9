"""What can go wrong with the queue itself. The client library's exceptions end here."""

import contextlib
from collections.abc import Iterator

import redis.exceptions

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


class QueueUnavailable(Exception):
    """Valkey cannot be reached or does not serve writes now. Nothing is known about the call: it may have happened.

    Every operation of the queue is safe to repeat. The cause is chained.
    """


class QueueFull(QueueUnavailable):
    """Valkey is out of memory and refused the call as a whole."""


class CorruptEntryError(ValueError):
    """An entry that this version cannot read: a field is missing, the schema is newer, the payload does not unpack."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the client library's "not now" errors into ours; others are bugs and pass.

    Raises:
        QueueFull: Valkey is out of memory.
        QueueUnavailable: Any other reason why Valkey does not serve now.
    """
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise QueueFull(f"Valkey is out of memory: {error}") from error
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
        raise QueueUnavailable(f"Valkey cannot be reached: {error}") from error
    except redis.exceptions.NoScriptError as error:
        raise QueueUnavailable("Valkey lost its scripts in mid call.") from error
    except redis.exceptions.ReadOnlyError as error:
        raise QueueUnavailable(f"Valkey is read-only: {error}") from error
    except redis.exceptions.ResponseError as error:
        text = str(error)
        if text.startswith("OOM"):
            raise QueueFull(f"Valkey is out of memory: {text}") from error
        if text.startswith(_NOT_NOW):
            raise QueueUnavailable(f"Valkey does not serve now: {text}") from error
        raise

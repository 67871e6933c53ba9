"""What can go wrong with the queue itself."""

import contextlib
from collections.abc import Iterator

from services.valkey import errors as valkey_errors


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
    """Turn Valkey's "not now" into the queue's; other errors are bugs and pass.

    Raises:
        QueueFull: Valkey is out of memory.
        QueueUnavailable: Any other reason why Valkey does not serve now.
    """
    try:
        with valkey_errors.translated():
            yield
    except valkey_errors.OutOfMemory as error:
        raise QueueFull(str(error)) from error
    except valkey_errors.NotNow as error:
        raise QueueUnavailable(str(error)) from error

"""A folder for the scan's temporary files. A full disk ends the work by name: waiting would not mend it."""

import contextlib
import errno
import pathlib
import tempfile
from collections.abc import Iterator

from services.ingest import failures

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def folder(below: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A folder that is gone afterwards.

    Args:
        below: Where to make it; None: where the system wants it.

    Raises:
        failures.Failure: SCRATCH_FULL or SCRATCH_UNUSABLE.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="vectorline-", dir=below, ignore_cleanup_errors=True) as name:
            yield pathlib.Path(name)
    except OSError as error:
        where = str(below or tempfile.gettempdir())
        if error.errno in _FULL:
            raise failures.Failure(
                "SCRATCH_FULL",
                f"The scan's temporary files, about 200 bytes a row, have no room in {where}; make room there, or name "
                "a bigger disk with SCRATCH_FOLDER, then start a new task.",
            ) from error
        raise failures.Failure(
            "SCRATCH_UNUSABLE",
            f"The scan's temporary files cannot be kept in {where} ({error.strerror or error}); name a folder that "
            "this service may write to with SCRATCH_FOLDER, then start a new task.",
        ) from error

"""A file of the local folder. Nothing outside that folder can be named, linked to or slipped in."""

import os
import pathlib
import stat

from services.ingest import failures, sources

URI_PREFIX = "file:"
# O_NOFOLLOW refuses symlinks, O_NONBLOCK keeps the opening of a FIFO from waiting for its writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class LocalSource:
    """A regular file below a folder, by its relative path.

    Args:
        folder: LOCAL_CSV_FOLDER; None where USE_LOCAL_FILES is off: everything is refused.
        path: Relative path as the caller gave it, or a pinned ``file:`` URI.
    """

    def __init__(self, folder: pathlib.Path | None, path: str) -> None:
        self._folder = folder
        self._path = path.removeprefix(URI_PREFIX)

    def pin(self) -> sources.Pinned:
        """Return size and modification time; refuses what is no regular file inside the folder."""
        descriptor = self._descriptor()
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return sources.Pinned(
            uri=URI_PREFIX + self._path,
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
            display_name=self._path.rpartition("/")[2],
        )

    def open(self, pinned: sources.Pinned, offset: int = 0) -> "LocalStream":
        """Read the file as pinned; SOURCE_CHANGED when size or modification time differ."""
        descriptor = self._descriptor()
        try:
            stream = LocalStream(descriptor, pinned)
            stream.check()
            os.lseek(descriptor, offset, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        return stream

    def _descriptor(self) -> int:
        if self._folder is None:
            raise failures.SourceFailure("SOURCE_FORBIDDEN", "Local files are off; USE_LOCAL_FILES=true turns them on.")
        parts = self._path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise _forbidden(self._path, "is no plain relative path below the local folder")
        try:
            return self._walk(self._folder, parts)
        except FileNotFoundError:
            raise failures.SourceFailure(
                "SOURCE_NOT_FOUND", f"{self._path!r} is not in the local folder; look at the path's spelling."
            ) from None
        except PermissionError:
            raise _forbidden(self._path, "may not be read by this process") from None
        except OSError:  # ELOOP: a symlink; ENOTDIR: a file in the place of a folder; ENXIO: a socket
            raise _forbidden(self._path, "is no regular file reached without symbolic links") from None

    def _walk(self, folder: pathlib.Path, parts: list[str]) -> int:
        """Open step by step, so that no component can be a link, nor become one between check and use."""
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                below = os.open(part, _FOLDER_FLAGS, dir_fd=here)
                os.close(here)
                here = below
            descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=here)
        finally:
            os.close(here)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _forbidden(self._path, "is no regular file")
        return descriptor


class LocalStream:
    """The bytes of an open file; looks at the end whether it is still the pinned one."""

    def __init__(self, descriptor: int, pinned: sources.Pinned) -> None:
        self._descriptor = descriptor
        self._pinned = pinned

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; b"" at the end of the file as it was pinned."""
        try:
            data = os.read(self._descriptor, size)
        except OSError as error:
            raise failures.SourceUnavailable(f"{self._pinned.uri} cannot be read now: {error.strerror}.") from error
        if not data:
            self.check()
        return data

    def check(self) -> None:
        """Raise SOURCE_CHANGED when size or modification time are not the pinned ones."""
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != (self._pinned.size_bytes, self._pinned.modified_ns):
            raise failures.SourceFailure(
                "SOURCE_CHANGED", f"{self._pinned.uri} was changed after the task began; start a new task."
            )

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _forbidden(path: str, why: str) -> failures.SourceFailure:
    return failures.SourceFailure("SOURCE_FORBIDDEN", f"{path[:200]!r} {why}.")

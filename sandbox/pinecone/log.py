"""The append-only log of one namespace: framed, checksummed, readable after the process was killed in mid write."""

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"VL"
_HEADER = struct.Struct("<2sBxII")  # magic, kind of frame, payload bytes, CRC-32 of the payload


class Log:
    """Frames appended with one write() each.

    A kill leaves at most one torn frame at the end; `replay` cuts it off. There is no fsync: the death of the machine
    is out of scope.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if it is absent."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.size_bytes = os.fstat(self._file).st_size

    def append(self, kind: int, payload: bytes) -> int:
        """Write one frame; return the offset of its payload in the file."""
        at = self.size_bytes
        write_all(self._file, _HEADER.pack(_MAGIC, kind, len(payload), zlib.crc32(payload)) + payload, at)
        self.size_bytes += _HEADER.size + len(payload)
        return at + _HEADER.size

    def read(self, at: int, size: int) -> bytes:
        """Return a piece of the file."""
        return os.pread(self._file, size, at)

    def replay(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield kind, offset of the payload and payload of each whole frame, then cut off what follows the last."""
        at = 0
        if self.size_bytes:
            with mmap.mmap(self._file, self.size_bytes, access=mmap.ACCESS_READ) as view:
                while at + _HEADER.size <= self.size_bytes:
                    magic, kind, size, checksum = _HEADER.unpack_from(view, at)
                    start = at + _HEADER.size
                    payload = view[start : start + size]
                    if magic != _MAGIC or len(payload) != size or zlib.crc32(payload) != checksum:
                        break
                    yield kind, start, payload
                    at = start + size
        os.ftruncate(self._file, at)
        self.size_bytes = at

    def __del__(self) -> None:
        """Close with the last reader: a query may still be running in a thread while its namespace is deleted."""
        if hasattr(self, "_file"):
            os.close(self._file)


def write_all(file: int, data: bytes | memoryview, at: int) -> None:
    """pwrite() until everything is written; a regular file takes it all at once but for a full disk."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view = view[written:]
        at += written

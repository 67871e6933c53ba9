"""Bytes in memory, as a source: for tests and for trying things out."""

import hashlib

from services.ingest import failures, sources


class MemorySource:
    """A source that hands out its bytes in small pieces.

    Args:
        data: The bytes; may be replaced at any time, and the pinned reading then fails as it would elsewhere.
        piece_bytes: The most that one read returns.
    """

    def __init__(self, data: bytes, *, piece_bytes: int = 1 << 20) -> None:
        self.data = data
        # The offsets that were opened, in order.
        self.opened: list[int] = []
        self._piece_bytes = piece_bytes

    def pin(self) -> sources.Pinned:
        """Return size and checksum, the latter as ETag."""
        return sources.Pinned(
            uri="memory:", etag=self._etag(), size_bytes=len(self.data), display_name="a file in memory"
        )

    def open(self, pinned: sources.Pinned, offset: int = 0) -> "MemoryStream":
        """Read the bytes from an offset on; SOURCE_CHANGED where they are not the pinned ones."""
        if pinned.etag != self._etag():
            raise failures.SourceFailure("SOURCE_CHANGED", "The bytes were replaced after the task began.")
        self.opened.append(offset)
        return MemoryStream(self.data[offset:], self._piece_bytes)

    def _etag(self) -> str:
        return hashlib.blake2b(self.data, digest_size=16).hexdigest()


class MemoryStream:
    """The bytes of a MemorySource."""

    def __init__(self, data: bytes, piece_bytes: int) -> None:
        self._data = memoryview(data)
        self._piece_bytes = piece_bytes

    def read(self, size: int, /) -> bytes:
        """Return the next piece."""
        piece = bytes(self._data[: min(size, self._piece_bytes)])
        self._data = self._data[len(piece) :]
        return piece

    def close(self) -> None:
        """Do nothing."""

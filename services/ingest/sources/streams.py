"""ByteStreams around others: one whose beginning can be looked at, one that hashes what passes."""

import hashlib

from services.ingest import sources


class Peeked:
    """A ByteStream whose first bytes can be looked at before they are read."""

    def __init__(self, stream: sources.ByteStream) -> None:
        self._stream = stream
        self._head = b""

    def peek(self, size: int) -> bytes:
        """Return the first ``size`` bytes, fewer only where there are no more."""
        parts = [self._head]
        missing = size - len(self._head)
        while missing > 0 and (data := self._stream.read(missing)):
            parts.append(data)
            missing -= len(data)
        self._head = b"".join(parts)
        return self._head[:size]

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


class Hashed:
    """A ByteStream that hashes and counts what passes."""

    def __init__(self, stream: sources.ByteStream) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.sha256.update(data)
        self.size_bytes += len(data)
        return data

    def close(self) -> None:
        self._stream.close()

"""Gzip, unpacked as it is read, by a reader that no file can make grow without bound."""

import zlib

from services.ingest import failures, sources

MAGIC = b"\x1f\x8b"
# Honest text packs 3:1 to 20:1; the format's own ceiling is 1,032:1.
RATIO_LIMIT = 200
# Below this much output any ratio is harmless (a short file of one repeated row).
RATIO_FREE_BYTES = 64 << 20
_INPUT_BYTES = 256 << 10


class GunzipStream:
    """A ByteStream of the unpacked bytes of another; members may follow each other, as gzip allows (RFC 1952).

    Raises on read:
        failures.FileFailure: GZIP_BOMB, GZIP_TRUNCATED or GZIP_CORRUPT.
    """

    def __init__(self, packed: sources.ByteStream) -> None:
        self._packed = packed
        self._zlib = zlib.decompressobj(wbits=31)
        self._input = b""
        self._read_bytes = 0
        self._made_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return 1 to ``size`` unpacked bytes, or b"" at the end."""
        while True:
            if self._zlib.eof and not self._next_member():
                return b""
            if not self._input and not self._fill():
                return self._drain(size)
            try:
                data = self._zlib.decompress(self._input, size)
            except zlib.error as error:
                raise failures.FileFailure(
                    "GZIP_CORRUPT", "The gzip data is damaged; pack the file again and check it with gzip -t."
                ) from error
            self._input = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if data:
                return self._counted(data)

    def close(self) -> None:
        """Close the packed stream."""
        self._packed.close()

    def _fill(self) -> bool:
        self._input = self._packed.read(_INPUT_BYTES)
        self._read_bytes += len(self._input)
        return bool(self._input)

    def _next_member(self) -> bool:
        """Stand at the next member; False at the end of the file. Zero padding is skipped, as gzip does."""
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            if not self._fill():
                return False
            self._input = self._input.lstrip(b"\0")
        if self._input[:1] != MAGIC[:1]:
            raise failures.FileFailure(
                "GZIP_CORRUPT", "Other bytes follow the gzip data; pack the file again and check it with gzip -t."
            )
        self._zlib = zlib.decompressobj(wbits=31)
        return True

    def _drain(self, size: int) -> bytes:
        """The packed bytes ended: what the decompressor still holds, or a truncated file."""
        try:
            data = self._zlib.decompress(b"", size)
        except zlib.error:
            data = b""
        if data:
            return self._counted(data)
        if self._zlib.eof:
            return b""
        raise failures.FileFailure(
            "GZIP_TRUNCATED", "The gzip data ends in the middle; upload the whole file (check it with gzip -t)."
        )

    def _counted(self, data: bytes) -> bytes:
        self._made_bytes += len(data)
        if self._made_bytes > RATIO_FREE_BYTES and self._made_bytes > RATIO_LIMIT * self._read_bytes:
            raise failures.FileFailure(
                "GZIP_BOMB",
                f"The gzip data unpacks to more than {RATIO_LIMIT} times its size; upload such a file unpacked.",
            )
        return data

"""Bytes in, whole lines out: cut at the ASCII line ends only, in UTF-8 where the file's own encoding hides them."""

import codecs
from collections.abc import Callable

from services.ingest import failures, sources
from services.ingest.reading import ballot, dialect, padding

# Half of a surrogate pair (a cell cut in the middle of an emoji) spoils its row, not the file: it is handed on in
# UTF-8, where it is not allowed either, and so found with its line.
_ERRORS = "surrogatepass"


class Lines:
    """The lines of one stream.

    Args:
        stream: Unpacked bytes.
        form: The file's dialect.
        block_bytes: How much is read at a time.
        row: Tells the number of the row that is being read, for the failure.
        votes: Fed with what is recoded, as it is stored; see reader.Reader.
    """

    def __init__(
        self,
        stream: sources.ByteStream,
        form: dialect.Dialect,
        block_bytes: int,
        row: Callable[[], int],
        *,
        votes: ballot.Ballot | None = None,
    ) -> None:
        self._stream = stream
        self._form = form
        self._block_bytes = block_bytes
        self._row = row
        self._votes = votes
        self._recode = (
            None
            if form.bytewise
            else codecs.getincrementaldecoder(form.encoding)(errors=_ERRORS if form.unit_bytes else "strict")
        )
        # In which the lines are.
        self.codec = form.encoding if form.bytewise else "utf-8"
        # Tells how many bytes a line took in the file.
        self.size: Callable[[bytes], int] = len if not form.unit_bytes else self._wide_size
        # The part of a line that goes on.
        self.tail = b""
        # The bytes of which lines were cut last.
        self.seen = b""

    def skip_mark(self) -> int:
        """Skip the byte order mark; returns its length."""
        left = self._form.bom_bytes
        while left:
            left -= len(self._stream.read(left))
        return self._form.bom_bytes

    def data(self) -> bytes:
        """Return the next bytes; b"" at the end.

        Raises:
            failures.FileFailure: BAD_ENCODING, GZIP_*.
        """
        while True:
            data = self._whole_block()
            if self._recode is None:
                return data
            if self._votes is not None:
                self._votes.feed(data)
            try:
                text = self._recode.decode(data, not data)
            except UnicodeDecodeError as error:
                raise failures.FileFailure(
                    "BAD_ENCODING",
                    f"The file is not written in {self._form.encoding} throughout (near row {self._row():,}: "
                    f"{error.reason}); save it as UTF-8, or declare its encoding.",
                ) from error
            if text or not data:
                return text.encode(errors=_ERRORS)

    def whole(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes. bytes.splitlines knows LF, CR and CRLF only, as CSV does.

        Args:
            data: The next bytes; b"": there are no more, and what was kept is a line too.
        """
        self.seen = self.tail + data
        lines = self.seen.splitlines(keepends=True)
        self.tail = b""
        # A CR at the end may yet become CRLF.
        if data and lines and not lines[-1].endswith(b"\n"):
            self.tail = lines.pop()
        if not data and lines:
            lines[-1] = lines[-1].rstrip(padding.BYTES)
            return lines if lines[-1] else lines[:-1]
        return lines

    def _whole_block(self) -> bytes:
        """Return a whole block, less only at the end: what is found must not depend on a network's pieces."""
        data = self._stream.read(self._block_bytes)
        if not data or len(data) == self._block_bytes:
            return data
        parts, missing = [data], self._block_bytes - len(data)
        while missing and (data := self._stream.read(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _wide_size(self, line: bytes) -> int:
        """Return how many bytes of UTF-16 or UTF-32 a line took."""
        if line.isascii():
            return len(line) * self._form.unit_bytes
        return len(line.decode(errors=_ERRORS).encode(self._form.encoding, _ERRORS))


class Count:
    """Counts bytes in the file, and lines, of pieces that follow each other.

    Args:
        size: Tells how many bytes a piece took in the file.
    """

    def __init__(self, size: Callable[[bytes], int]) -> None:
        self._size = size
        self.bytes = 0
        self.lines = 0
        self._after_cr = False

    def add(self, piece: bytes) -> None:
        """Count a piece's."""
        self.bytes += self._size(piece)
        self.lines += piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")
        self.lines -= self._after_cr and piece.startswith(b"\n")
        self._after_cr = piece.endswith(b"\r") if piece else self._after_cr

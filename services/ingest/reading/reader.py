"""Bytes in, rows out: the CSV of a known dialect, a block at a time, with the exact source bytes of each row.

The csv module does the parsing (``strict``), so that quoting is exact; this file feeds it lines that are cut at the
ASCII line ends only, keeps count of bytes, and contains what is broken: a row with broken bytes or quoting becomes a
flawed row of its own, a field without end never fills the memory.
"""

import bisect
import codecs
import csv
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator

from services.ingest import failures, sources
from services.ingest.reading import ballot, dialect, encoding, oversized

BLOCK_BYTES = 1 << 20
# A record that is longer is not parsed but skipped over, and stands as one row with the flaw field_too_long.
RECORD_LIMIT_BYTES = 4 << 20
FIELD_LIMIT_BYTES = 1 << 20
COLUMN_LIMIT = 20_000

BAD_ENCODING = "bad_encoding"
BAD_QUOTING = "bad_quoting"
FIELD_TOO_LONG = "field_too_long"

# RECORD_LIMIT_BYTES is our own bound; csv's (a global of the process) is moved out of the way.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
# What csv says at the end of the lines inside of a quoted field (Modules/_csv.c, Reader_iternext).
_UNFINISHED = "unexpected end of data"
_BLANK_LINES = (b"\n", b"\r\n", b"\r")
# Half of a surrogate pair (a cell cut in the middle of an emoji) spoils its row, not the file: it is handed on in
# UTF-8, where it is not allowed either, and so found with its line.
_ERRORS = "surrogatepass"
# A character takes so many bytes in UTF-8, which limits are about, for each byte in the source at most (Thai, €).
_UTF8_GROWTH = 3


@dataclasses.dataclass(slots=True)
class Block:
    """Rows that follow each other.

    ``sizes`` are their source bytes (unpacked), line ends and blank lines before them included, so that row i + 1
    begins at the byte where row i ends.
    """

    first_row: int
    # Of the first row's first byte, in the unpacked file.
    offset: int
    rows: list[list[str]]
    sizes: list[int]
    # Position in ``rows`` → what is wrong with the row.
    flaws: dict[int, str]


class Reader:
    """Reads the rows of one stream.

    Args:
        stream: Unpacked bytes, standing at ``offset``.
        form: The file's dialect.
        offset: Byte offset of ``stream`` in the unpacked file: 0, or where a row begins.
        first_row: 1-based number of the first data row that follows; 1 at offset 0.
        votes: Where the lines vote on the encoding, of a file whose encoding is a guess.
    """

    def __init__(
        self,
        stream: sources.ByteStream,
        form: dialect.Dialect,
        *,
        offset: int = 0,
        first_row: int = 1,
        votes: ballot.Ballot | None = None,
    ) -> None:
        self._stream = stream
        self._form = form
        self._row = first_row
        self._offset = offset
        self._votes = votes
        # In a page that was guessed, a line of UTF-8 is one that another program wrote: it is not garbled but rejected.
        self._no_utf8 = form.encoding_guessed and encoding.tells_utf8(form.encoding)
        # How many of the lines at hand no block has had before.
        self._fresh = 0
        self._header_due = offset == 0
        self._recode = (
            None
            if form.bytewise
            else codecs.getincrementaldecoder(form.encoding)(errors=_ERRORS if form.unit_bytes else "strict")
        )
        self._codec = form.encoding if form.bytewise else "utf-8"
        self._size: Callable[[bytes], int] = len if not form.unit_bytes else self._wide_size
        # Whole lines of a record that goes on, and the part of a line that does.
        self._pending: list[bytes] = []
        self._tail = b""
        # Source bytes of blank lines that wait for their row.
        self._blank_bytes = 0
        self.header: list[str] = []

    def blocks(self) -> Iterator[Block]:
        """Yield the rows; ``header`` is set before the first block when reading began at offset 0.

        Raises:
            failures.FileFailure: NO_HEADER, UNBALANCED_QUOTE, BAD_ENCODING, GZIP_*.
            failures.SourceFailure: See sources.ByteStream.
            failures.SourceUnavailable: See sources.ByteStream.
        """
        if self._header_due:
            self._skip_mark()
        at_end = False
        while not at_end:
            data = self._data()
            at_end = not data
            lines = self._lines(data)
            if lines:
                block = self._parse(lines, at_end=at_end)
                if self._header_due and block.rows:
                    block = self._take_header(block)
                if block.rows:
                    yield block
            if len(self._tail) + sum(map(len, self._pending)) > RECORD_LIMIT_BYTES:
                yield self._giant()
        if self._header_due:
            raise failures.FileFailure("EMPTY_FILE", "The file holds only blank lines; it must have a header line.")

    def _skip_mark(self) -> None:
        left = self._form.bom_bytes
        while left:
            left -= len(self._stream.read(left))
        self._offset = self._form.bom_bytes

    def _data(self) -> bytes:
        """Return the next bytes, in UTF-8 where the file's own encoding hides its line ends; b"" at the end."""
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
                    f"The file is not written in {self._form.encoding} throughout (near row {self._row:,}: "
                    f"{error.reason}); save it as UTF-8, or declare its encoding.",
                ) from error
            if text or not data:
                return text.encode(errors=_ERRORS)

    def _whole_block(self) -> bytes:
        """Return BLOCK_BYTES, fewer only at the end: what is found must not depend on a network's pieces."""
        data = self._stream.read(BLOCK_BYTES)
        if not data or len(data) == BLOCK_BYTES:
            return data
        parts, missing = [data], BLOCK_BYTES - len(data)
        while missing and (data := self._stream.read(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _lines(self, data: bytes) -> list[bytes]:
        """Return whole lines. bytes.splitlines knows LF, CR and CRLF only, which is what CSV knows."""
        lines = (self._tail + data).splitlines(keepends=True)
        self._tail = b""
        # A CR at the end may yet become CRLF.
        if data and lines and not lines[-1].endswith(b"\n"):
            self._tail = lines.pop()
        self._fresh = len(lines)
        if self._pending and (lines or not data):
            lines = self._pending + lines
            self._pending = []
        return lines

    def _parse(self, lines: list[bytes], *, at_end: bool) -> Block:
        rows: list[list[str]] = []
        ends: list[int] = []  # lines used up to and with row i
        flaws: dict[int, str] = {}
        texts, bad_lines = self._decode(lines)
        parser = csv.reader(texts, delimiter=self._form.delimiter, strict=True)
        while True:
            try:
                for row in parser:
                    if row:
                        rows.append(row)
                        ends.append(parser.line_num)
                break
            except csv.Error as error:
                begun = ends[-1] if ends else 0
                while begun < len(lines) and lines[begun] in _BLANK_LINES:
                    begun += 1
                if str(error) == _UNFINISHED and not at_end:
                    break
                if str(error) == _UNFINISHED or parser.line_num - begun > 1:
                    raise oversized.unbalanced(self._number(len(rows)), _UNFINISHED in str(error)) from error
                flaws[len(rows)] = BAD_QUOTING
                rows.append(next(csv.reader([texts[begun]], delimiter=self._form.delimiter)))
                ends.append(parser.line_num)
        for line in bad_lines:
            position = bisect.bisect_right(ends, line)
            if position < len(rows):
                flaws[position] = BAD_ENCODING
        return self._block(lines, rows, ends, flaws)

    def _block(self, lines: list[bytes], rows: list[list[str]], ends: list[int], flaws: dict[int, str]) -> Block:
        """Count bytes, find fields that are too long, keep the lines that no row used."""
        used = ends[-1] if ends else 0
        bytes_until = list(itertools.accumulate(map(self._size, lines[:used]), initial=self._blank_bytes))
        marks = [0, *[bytes_until[end] for end in ends]]
        sizes = [end - start for start, end in itertools.pairwise(marks)]
        self._keep(lines, used)
        block = Block(self._row, self._offset, rows, sizes, flaws)
        suspect = min(FIELD_LIMIT_BYTES, RECORD_LIMIT_BYTES) // _UTF8_GROWTH
        if sizes and max(sizes) > suspect:
            for position, (start, end) in enumerate(itertools.pairwise((0, *ends))):
                if sizes[position] > suspect:
                    self._measure(block, position, lines[start:end])
        self._row += len(rows)
        self._offset += marks[-1]
        return block

    def _measure(self, block: Block, position: int, lines: list[bytes]) -> None:
        """Mark a row with a field that is too long; a record over the limit looks as if it had been skipped over.

        Where a block happens to end must not show: chunks are the same wherever reading began.
        """
        record = b"".join(lines).lstrip(b"\r\n")
        if len(record) > RECORD_LIMIT_BYTES:
            block.rows[position] = [oversized.beginning(record, self._codec)]
            block.flaws[position] = FIELD_TOO_LONG
        elif _has_long_field(block.rows[position]):
            block.flaws.setdefault(position, FIELD_TOO_LONG)

    def _keep(self, lines: list[bytes], used: int) -> None:
        """Keep what no row used for the next block; of blank lines only how long they were."""
        if used:
            self._blank_bytes = 0
        while used < len(lines) and lines[used] in _BLANK_LINES:
            self._blank_bytes += self._size(lines[used])
            used += 1
        self._pending = lines[used:]

    def _decode(self, lines: list[bytes]) -> tuple[list[str], list[int]]:
        """Return the lines as text, and which of them are not written in the encoding."""
        codec = self._codec
        voters = self._voters(lines)
        try:
            # One call per line: about 60 ns, and a broken byte is pinned to its line.
            texts = [line.decode(codec) for line in lines]
        except UnicodeDecodeError:
            if self._votes is not None:
                self._votes.add(voters)
            return self._decode_flawed(lines)
        if self._votes is not None and codec == encoding.UTF8:
            self._votes.add_good(texts[len(texts) - len(voters) :])
        elif self._votes is not None:
            self._votes.add(voters)
        if self._no_utf8 and ballot.holds_utf8(lines):
            return texts, [at for at, line in enumerate(lines) if not line.isascii() and ballot.is_utf8(line)]
        return texts, []

    def _voters(self, lines: list[bytes]) -> list[bytes]:
        """Return those lines that have not voted yet; of a stream that is recoded all have."""
        return lines[len(lines) - self._fresh :] if self._votes is not None and self._recode is None else []

    def _decode_flawed(self, lines: list[bytes]) -> tuple[list[str], list[int]]:
        codec, texts, bad = self._codec, [], []
        for position, line in enumerate(lines):
            try:
                texts.append(line.decode(codec))
            except UnicodeDecodeError:
                # Shown as \xNN, never dropped: the row is rejected with its cells.
                texts.append(line.decode(codec, "backslashreplace"))
                bad.append(position)
                continue
            if self._no_utf8 and not line.isascii() and ballot.is_utf8(line):
                bad.append(position)
        return texts, bad

    def _wide_size(self, line: bytes) -> int:
        """Return how many bytes of UTF-16 or UTF-32 a line took."""
        if line.isascii():
            return len(line) * self._form.unit_bytes
        return len(line.decode(errors=_ERRORS).encode(self._form.encoding, _ERRORS))

    def _number(self, position: int) -> int:
        """Return a row's number for people: the header is row 0 until it is taken."""
        return self._row + position - (1 if self._header_due else 0)

    def _take_header(self, block: Block) -> Block:
        self._header_due = False
        flaw = block.flaws.pop(0, "")
        if flaw:
            raise failures.FileFailure("NO_HEADER", f"The header line cannot be read ({flaw}); repair it.")
        self.header = block.rows.pop(0)
        if len(self.header) > COLUMN_LIMIT:
            raise failures.FileFailure(
                "TOO_MANY_COLUMNS", f"The header has {len(self.header):,} columns; {COLUMN_LIMIT:,} are the limit."
            )
        self._row -= 1
        offset = block.offset + block.sizes.pop(0)
        flaws = {position - 1: what for position, what in block.flaws.items()}
        return Block(block.first_row, offset, block.rows, block.sizes, flaws)

    def _giant(self) -> Block:
        """Skip a record over the limit in flat memory; it is one row, with its beginning as its only cell."""
        if self._header_due:
            raise failures.FileFailure(
                "NO_HEADER", f"The first {RECORD_LIMIT_BYTES >> 20} MiB hold no whole header line; send a CSV."
            )
        begun = b"".join(self._pending) + self._tail
        skip = oversized.Skip(self._data, self._form.delimiter.encode(), self._row)
        size, self._tail = skip.over(begun, self._size)
        self._pending = []
        size += self._blank_bytes
        self._blank_bytes = 0
        block = Block(self._row, self._offset, [[oversized.beginning(begun, self._codec)]], [size], {0: FIELD_TOO_LONG})
        self._row += 1
        self._offset += size
        return block


def _has_long_field(row: list[str]) -> bool:
    return any(len(cell) * 4 > FIELD_LIMIT_BYTES and len(cell.encode()) > FIELD_LIMIT_BYTES for cell in row)

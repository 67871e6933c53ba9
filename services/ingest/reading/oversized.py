"""Records too long to be held: skipped over in flat memory, or recognised as a quote that was never closed."""

import re
from collections.abc import Callable

from services.ingest import failures

BEGINNING_BYTES = 64 << 10
_LINE_END = re.compile(rb"\r\n?|\n")


def unbalanced(row: int, to_the_end: bool) -> failures.FileFailure:
    """Return the failure for a quote that opens in a row and swallows what follows."""
    where = f"row {row:,}" if row else "the header"
    how = "is never closed" if to_the_end else "is closed in the middle of another row's text"
    return failures.FileFailure(
        "UNBALANCED_QUOTE", f'A quoted field that opens in {where} {how}; close it, and write quotes inside as "".'
    )


def beginning(record: bytes, codec: str) -> str:
    """Return the first 64 KiB of a record as text."""
    return record[:BEGINNING_BYTES].decode(codec, "backslashreplace")


class Skip:
    """Finds the end of one record, by csv's own rule: a quote opens a field only where the field begins.

    Args:
        more: Returns the next bytes, b"" at the end of the file.
        delimiter: The field delimiter.
        row: The record's row number, for the failure.
    """

    def __init__(self, more: Callable[[], bytes], delimiter: bytes, row: int) -> None:
        self._more = more
        self._delimiter = delimiter
        self._opening_or_end = re.compile(re.escape(delimiter) + rb'"|\r\n?|\n')
        self._row = row
        self._quoted = False
        # A line end was passed inside of quotes.
        self._many_lines = False
        # Text stands right after a closing quote: the record ends with its line, quotes mean nothing any more.
        self._broken = False

    def over(self, data: bytes, size: Callable[[bytes], int]) -> tuple[int, bytes]:
        """Return the record's source bytes, and the bytes after it that were read already.

        Args:
            data: The record's beginning.
            size: Tells the source bytes of bytes read.

        Raises:
            failures.FileFailure: UNBALANCED_QUOTE when the record never ends, or a quote that opened lines before
                closes in mid-text (within one line it is the row alone that is broken, as in reader.Reader).
        """
        self._quoted = data[:1] == b'"'
        total, position = 0, int(self._quoted)
        while True:
            end, kept = self._scan(data, position)
            if end is not None:
                return total + size(data[:end]), data[end:]
            total += size(data[: len(data) - kept])
            following = self._more()
            data, position = data[len(data) - kept :] + following, 0
            if not following:
                if self._quoted and data != b'"':
                    raise unbalanced(self._row, to_the_end=True)
                return total + size(data), b""

    def _scan(self, data: bytes, position: int) -> tuple[int | None, int]:
        """Walk quotes and line ends; returns where the record ends, or None and how many bytes to look at again."""
        while True:
            if self._quoted:
                quote = data.find(b'"', position)
                self._note_lines(data, position, quote if quote >= 0 else len(data))
                if quote < 0:
                    return None, 0
                if quote + 1 == len(data):  # closing, or the first of two
                    return None, 1
                position = self._after_quote(data, quote + 1)
                continue
            match = (_LINE_END if self._broken else self._opening_or_end).search(data, position)
            if match is None:
                return None, int(data.endswith(self._delimiter) and not self._broken)
            position = match.end()
            if match[0].endswith(b'"'):
                self._quoted = True
            elif match[0] == b"\r" and position == len(data):  # may yet become CRLF
                return None, 1
            else:
                return position, 0

    def _after_quote(self, data: bytes, position: int) -> int:
        following = data[position : position + 1]
        if following == b'"':
            return position + 1
        if following not in (self._delimiter, b"\r", b"\n"):
            if self._many_lines:
                raise unbalanced(self._row, to_the_end=False)
            self._broken = True
        self._quoted = False
        return position

    def _note_lines(self, data: bytes, start: int, end: int) -> None:
        if not self._many_lines:
            self._many_lines = data.find(b"\n", start, end) >= 0 or data.find(b"\r", start, end) >= 0

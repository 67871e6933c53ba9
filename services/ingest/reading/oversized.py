"""Records too long to be held: skipped over in flat memory, or recognised as a quote that was never closed."""

import re
from collections.abc import Callable

from services.ingest import failures
from services.ingest.reading import padding, quoting

BEGINNING_BYTES = 64 << 10
_LINE_END = re.compile(rb"\r\n?|\n")


def unbalanced(row: int, line: int, *, to_the_end: bool) -> failures.FileFailure:
    """Return the failure for a quote that opens in a row and swallows what follows.

    Args:
        row: 0: the header.
        line: Where it begins in the file, 1-based.
        to_the_end: The quote is never closed.
    """
    where = f"row {row:,} (line {line:,} of the file)" if row else f"the header (line {line:,} of the file)"
    how = "is never closed" if to_the_end else "is closed in the middle of another row's text"
    return failures.FileFailure(
        "UNBALANCED_QUOTE",
        f'A quoted field that opens in {where} {how}; close it, and write quotes inside as "". Where the file writes '
        'them as \\" use quoting=backslash; where its quotes are characters like any other, quoting=none.',
    )


def beginning(record: bytes, codec: str) -> str:
    """Return the first 64 KiB of a record as text."""
    return record[:BEGINNING_BYTES].decode(codec, "backslashreplace")


class More:
    """Reads on, and remembers whether the file ended and held nothing but padding until then."""

    def __init__(self, data: Callable[[], bytes]) -> None:
        self._data = data
        self._padding = True
        self._ended = False

    @property
    def padding_only(self) -> bool:
        """All that was read is padding, and the file has ended."""
        return self._padding and self._ended

    def __call__(self) -> bytes:
        """Return the next bytes, b"" at the end of the file."""
        data = self._data()
        self._ended = not data
        self._padding = self._padding and not data.strip(padding.BYTES)
        return data


class Skip:
    """Finds the end of one record, by csv's own rules: a quote opens a field only where the field begins.

    Args:
        more: Returns the next bytes, b"" at the end of the file.
        rules: How cells are quoted.
        row: The record's row number, for the failure.
        line: The number of the line in which it begins, for the failure.
    """

    def __init__(self, more: Callable[[], bytes], rules: quoting.Rules, row: int, line: int) -> None:
        self._more = more
        self._rules = rules
        self._row = row
        self._line = line
        self._delimiter = rules.delimiter.encode()
        self._quote = rules.quote.encode()
        self._escapes = rules.kind == quoting.BACKSLASH
        delimiter, quote = re.escape(self._delimiter), re.escape(self._quote)
        opening = delimiter + (rb"\x20*" if rules.spaced else b"") + quote
        escaped = rb"\\[\\" + quote + delimiter + rb"\r\n]"
        parts = [_LINE_END.pattern]
        if rules.kind != quoting.NONE:
            parts.insert(0, opening)
        if self._escapes:
            parts.insert(0, escaped)
        self._outside = re.compile(b"|".join(parts))
        self._broken_outside = re.compile(b"|".join(parts[-1:]))
        self._inside = re.compile(rb"\\[\\" + quote + rb"]|" + quote if self._escapes else quote)
        self._first = re.compile((rb"\x20*" if rules.spaced else b"") + quote)
        self._quoted = False
        # A line end was passed inside of quotes.
        self._many_lines = False
        # Text stands right after a closing quote: the record ends with its line, quotes mean nothing any more.
        self._broken = False

    def over(self, data: bytes, took: Callable[[bytes], None]) -> bytes:
        """Pass over the record; returns the bytes after it that were read already.

        Args:
            data: The record's beginning.
            took: Told the record's bytes, piece by piece.

        Raises:
            failures.FileFailure: UNBALANCED_QUOTE when the record never ends, or a quote that opened lines before
                closes in mid-text (within one line it is the row alone that is broken, as in reader.Reader).
        """
        first = self._first.match(data) if self._rules.kind != quoting.NONE else None
        self._quoted = first is not None
        position = first.end() if first else 0
        while True:
            end, kept = self._scan(data, position)
            if end is not None:
                took(data[:end])
                return data[end:]
            took(data[: len(data) - kept])
            following = self._more()
            data, position = data[len(data) - kept :] + following, 0
            if not following:
                if self._quoted and data != self._quote:
                    raise unbalanced(self._row, self._line, to_the_end=True)
                took(data)
                return b""

    def _scan(self, data: bytes, position: int) -> tuple[int | None, int]:
        """Walk quotes and line ends; returns where the record ends, or None and how many bytes to look at again."""
        while True:
            if self._quoted:
                found = self._inside.search(data, position)
                self._note_lines(data, position, found.start() if found else len(data))
                if found is None:
                    return None, self._open_escape(data, position)
                if found[0] != self._quote:  # an escape
                    position = found.end()
                    continue
                if found.end() == len(data):  # closing, or the first of two
                    return None, len(self._quote)
                position = self._after_quote(data, found.end())
                continue
            match = (self._broken_outside if self._broken else self._outside).search(data, position)
            if match is None:
                return None, self._open_end(data, position)
            position = match.end()
            if self._escapes and match[0].startswith(b"\\") and not self._broken:
                continue
            if match[0].endswith(self._quote):
                self._quoted = True
            elif match[0] == b"\r" and position == len(data):  # may yet become CRLF
                return None, 1
            else:
                return position, 0

    def _open_end(self, data: bytes, position: int) -> int:
        """Tell how many bytes at the end may yet be the beginning of something."""
        if self._broken:
            return 0
        end = data.rstrip(b" ") if self._rules.spaced else data
        if end.endswith(self._delimiter) and len(end) > position:
            return len(data) - len(end) + len(self._delimiter)
        return self._open_escape(data, position)

    def _open_escape(self, data: bytes, position: int) -> int:
        """Tell whether the last byte is a backslash that escapes what comes next: 1, else 0."""
        if not self._escapes:
            return 0
        return (len(data) - max(position, len(data.rstrip(b"\\")))) % 2

    def _after_quote(self, data: bytes, position: int) -> int:
        following = data[position : position + 1]
        if following == self._quote and not self._escapes:
            return position + 1
        if following not in (self._delimiter, b"\r", b"\n"):
            if self._many_lines:
                raise unbalanced(self._row, self._line, to_the_end=False)
            self._broken = True
        self._quoted = False
        return position

    def _note_lines(self, data: bytes, start: int, end: int) -> None:
        if not self._many_lines:
            self._many_lines = data.find(b"\n", start, end) >= 0 or data.find(b"\r", start, end) >= 0

"""Records too long to be held: skipped over in flat memory, or recognised as a quote that was never closed."""

import re
from collections.abc import Callable

from services.ingest import failures

BEGINNING_BYTES = 64 << 10
_QUOTE_OR_END = re.compile(rb'"|\r\n?|\n')


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
    """Finds the end of one record.

    Args:
        more: Returns the next bytes, b"" at the end of the file.
        delimiter: The field delimiter.
        row: The record's row number, for the failure.
    """

    def __init__(self, more: Callable[[], bytes], delimiter: bytes, row: int) -> None:
        self._more = more
        self._after_quote = (delimiter, b"\r", b"\n", b'"', b"")
        self._row = row

    def over(self, data: bytes, size: Callable[[bytes], int]) -> tuple[int, bytes]:
        """Return the record's source bytes, and the bytes after it that were read already.

        Args:
            data: The record's beginning.
            size: Tells the source bytes of bytes read.

        Raises:
            failures.FileFailure: UNBALANCED_QUOTE when the record never ends, or a quote closes in mid-text.
        """
        total, quoted = 0, False
        while data:
            end, quoted, kept = self._scan(data, quoted)
            if end is not None:
                return total + size(data[:end]), data[end:]
            # A quote or CR as the last byte is judged together with what follows; so is a cut UTF-8 sequence.
            kept = max(kept, 0)
            total += size(data[: len(data) - kept])
            following = self._more()
            data = data[len(data) - kept :] + following
            if not following:
                total += size(data)
                if quoted and data != b'"':
                    raise unbalanced(self._row, to_the_end=True)
                break
        return total, b""

    def _scan(self, data: bytes, quoted: bool) -> tuple[int | None, bool, int]:
        """Walk quotes and line ends: where the record ends (or None), quoted or not then, bytes to look at again."""
        position = 0
        while match := _QUOTE_OR_END.search(data, position):
            start, position = match.span()
            last = position == len(data)
            if match[0] != b'"':
                if not quoted:
                    return (None, quoted, 1) if last and match[0] == b"\r" else (position, quoted, 0)
            elif not quoted:
                quoted = True
            elif last:
                return None, quoted, len(data) - start
            elif data[position : position + 1] == b'"':
                position += 1
            elif data[position : position + 1] in self._after_quote:
                quoted = False
            else:
                raise unbalanced(self._row, to_the_end=False)
        return None, quoted, 0

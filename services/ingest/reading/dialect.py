"""How a file is written: encoding, byte order mark, delimiter, line ends, gzip. Found from its first bytes."""

import dataclasses
import functools
import re
from collections.abc import Collection

from services.ingest import failures
from services.ingest.reading import delimiter as delimiters
from services.ingest.reading import encoding as encodings
from services.ingest.reading import foreign

_UNIT_BYTES = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_STATEFUL = re.compile(r"iso2022|iso-2022|utf-?_?7|hz", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How to read one file."""

    # Python's name of the codec; utf-16-le and its like stand without a byte order mark.
    encoding: str
    # Length of the byte order mark.
    bom_bytes: int
    delimiter: str
    # crlf, lf, cr, mixed or none, in the head of the file; for people.
    newline: str
    gzip: bool = False
    # csv, none or backslash.
    quoting: str = "csv"
    # Neither declared nor marked nor UTF-8.
    encoding_guessed: bool = False

    @property
    def unit_bytes(self) -> int:
        """Bytes of a code unit where lines cannot be found bytewise (UTF-16: 2, UTF-32: 4), else 0."""
        return _UNIT_BYTES.get(self.encoding, 0)

    @property
    def bytewise(self) -> bool:
        """Line ends, quotes and delimiters are the ASCII bytes, and nothing else holds those bytes."""
        return not self.unit_bytes and _is_bytewise(self.encoding) and not _hides(self.encoding, self.delimiter)

    @property
    def seekable(self) -> bool:
        """Reading can begin at the byte offset of a row."""
        return not self.gzip and (self.bytewise or self.unit_bytes > 0)


def detect(head: bytes, *, gzip: bool, encoding: str, delimiter: str, wanted: Collection[str]) -> Dialect:
    """Find out how a file is written.

    Args:
        head: Its first encodings.HEAD_BYTES (unpacked), or all of it.
        gzip: The stored bytes are gzip.
        encoding: What the caller declared, a name of ``options.codec_name``; empty: detect.
        delimiter: What the caller declared; empty: detect.
        wanted: Column names that the header must hold: the best hint at the delimiter.

    Raises:
        failures.FileFailure: EMPTY_FILE, NOT_TEXT, NOT_CSV or BAD_ENCODING.
    """
    if not head:
        raise failures.FileFailure("EMPTY_FILE", "The file has 0 bytes; it must have at least a header line.")
    foreign.refuse_binary(head)
    codec, bom_bytes = encodings.find(head, encoding)
    text = encodings.decode_head(head[bom_bytes:], codec)
    if not text.strip("\r\n \t\0") and len(head) < encodings.HEAD_BYTES:
        raise failures.FileFailure("EMPTY_FILE", "The file holds only blank lines; it must have a header line.")
    foreign.refuse_other_text(text)
    return Dialect(
        codec,
        bom_bytes,
        delimiter or delimiters.find(text, wanted),
        _newline(text),
        gzip,
        encoding_guessed=not encoding and not bom_bytes and codec != encodings.UTF8,
    )


def _newline(text: str) -> str:
    crlf = text.count("\r\n")
    kinds = {"crlf": crlf, "lf": text.count("\n") - crlf, "cr": text.count("\r") - crlf}
    present = [kind for kind, count in kinds.items() if count]
    return present[0] if len(present) == 1 else "mixed" if present else "none"


def _is_bytewise(encoding: str) -> bool:
    if _STATEFUL.match(encoding):
        return False
    plain = b'\r\n",;|\tabcABC019'
    try:
        return plain.decode(encoding) == plain.decode("ascii")
    except UnicodeError:
        return False


@functools.cache
def _hides(encoding: str, delimiter: str) -> bool:
    """Tell whether a character's second byte can be the delimiter's: | in Shift-JIS, Big5, GBK and their like."""
    for lead in range(0x80, 0x100):
        try:
            if len((bytes([lead]) + delimiter.encode()).decode(encoding)) == 1:
                return True
        except UnicodeError:
            continue
    return False

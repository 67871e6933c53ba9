"""How a file is written: encoding, byte order mark, line ends, gzip, and its table. Found from its first bytes."""

import dataclasses
import functools
import re

from services.ingest import failures
from services.ingest.reading import encoding as encodings
from services.ingest.reading import foreign, padding, table
from services.ingest.reading import quoting as rules
from services.ingest.request import options

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
    quote: str = '"'
    # Blanks behind a delimiter belong to it.
    spaced: bool = False
    # Some cell of the file is quoted: a quote in one that is not is damage.
    writer_quotes: bool = False
    # Lines above the header, or above the first row where there is none.
    preamble_lines: int = 0
    # The header was found below titles that nobody said were there.
    header_found: bool = False
    # How many columns there are without a header; 0: there is a header.
    unnamed: int = 0
    # How many cells at the end of the header are empty: rows may go without them.
    nameless: int = 0
    # How many empty cells behind the last column say nothing.
    surplus: int = 0
    # Where that is not any number: which columns hold numbers, see sample.number_columns.
    numbers: str = ""
    # Neither declared nor marked nor UTF-8.
    encoding_guessed: bool = False

    @property
    def rules(self) -> rules.Rules:
        """How its cells are quoted."""
        return rules.Rules(self.delimiter, self.quoting, self.quote, self.spaced)

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


def detect(head: bytes, *, gzip: bool, encoding: str, chosen: options.Options) -> Dialect:
    """Find out how a file is written.

    Args:
        head: Its first encodings.HEAD_BYTES (unpacked), or all of it.
        gzip: The stored bytes are gzip.
        encoding: What the caller declared, a name of ``options.codec_name``; empty: detect.
        chosen: The request: what it declares, and the names that the header must hold.

    Raises:
        failures.FileFailure: EMPTY_FILE, NOT_TEXT, NOT_CSV, BAD_ENCODING or MISSING_COLUMN.
    """
    if not head:
        raise failures.FileFailure("EMPTY_FILE", "The file has 0 bytes; it must have at least a header line.")
    foreign.refuse_binary(head)
    # NULs behind the text are padding; only where they stand within it do they speak for UTF-16 or a binary file.
    codec, bom_bytes = encodings.find(head.rstrip(padding.BYTES) or head, encoding)
    text = encodings.decode_head(head[bom_bytes:], codec)
    if not text.strip("\r\n \t\0\x1a") and len(head) < encodings.HEAD_BYTES:
        raise failures.FileFailure("EMPTY_FILE", "The file holds only blank lines; it must have a header line.")
    foreign.refuse_other_text(text)
    found = table.find(text, chosen, cut=len(head) >= encodings.HEAD_BYTES)
    return Dialect(
        encoding=codec,
        bom_bytes=bom_bytes,
        delimiter=found.rules.delimiter,
        newline=_newline(text),
        gzip=gzip,
        quoting=found.rules.kind,
        quote=found.rules.quote,
        spaced=found.rules.spaced,
        writer_quotes=found.writer_quotes,
        preamble_lines=found.begin,
        header_found=found.header_found,
        unnamed=found.unnamed,
        nameless=found.nameless,
        surplus=found.surplus,
        numbers=found.numbers,
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

"""How a file is written: encoding, byte order mark, delimiter, line ends, gzip. Found from its first bytes."""

import codecs
import csv
import dataclasses
import functools
import io
import re
from collections.abc import Collection, Sequence

import charset_normalizer

from services.ingest import failures, options

# How much of the (unpacked) file the decisions rest on.
HEAD_BYTES = 256 << 10
_SAMPLE_ROWS = 200
_DETECT_BYTES = 64 << 10
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What text files outside UTF are really written in; a detector that may answer anything answers EBCDIC.
DETECTABLE = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "iso8859_1", "iso8859_2",
    "iso8859_5", "iso8859_7", "iso8859_9", "iso8859_15", "koi8_r", "koi8_u", "shift_jis", "cp932", "euc_jp", "gb18030",
    "gbk", "euc_kr", "cp949", "big5", "cp437", "cp850", "cp866", "mac_roman",
)  # fmt: skip
# latin-1 has invisible controls where Windows, which wrote nearly all such files, has curly quotes and the euro.
_SUPERSETS = {"latin-1": "cp1252", "iso8859-1": "cp1252", "shift_jis": "cp932", "gbk": "gb18030", "euc_kr": "cp949"}
# Letters with accents stand alone or in pairs among plain ones, with the usual signs: “Café” €5. That is cp1252,
# whatever else a detector makes of so short a text; only the other Latin pages look alike.
_WESTERN = re.compile(
    rb"(?:[\x00-\x80\x85\x91-\x97\x99\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0\xb4\xb7\xbb\xbf]|[\xc0-\xff]{1,2}+(?![\xc0-\xff]))*+"
)
_LATIN = ("cp1250", "cp1254", "cp1257", "iso8859-2", "iso8859-9", "iso8859-15")
_UNIT_BYTES = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_STATEFUL = re.compile(r"iso2022|iso-2022|utf-?_?7|hz", re.IGNORECASE)
_BINARY = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)", "save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"PAR1\x15", "a Parquet file", "export it as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it or use gzip"),
    (b"\x1f\x8b", "gzip data packed twice", "pack it once"),
    *((b"BZh%d1AY&SY" % level, "bzip2 data", "unpack it or use gzip") for level in range(1, 10)),
    (b"\xfd7zXZ", "xz data", "unpack it or use gzip"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it or use gzip"),
    (b"\x89PNG", "an image", "send a CSV"),
    (b"\xff\xd8\xff", "an image", "send a CSV"),
    (b"\x7fELF", "a program", "send a CSV"),
)
_JSON = re.compile(r'\s*(\[\s*[\[{\]]|\{\s*("|\}))')
_HTML = re.compile(r"\s*<(!doctype\s|html\b|head\b|body\b|table\b|\?xml\b)", re.IGNORECASE)
# Line ends and delimiters of UTF-16, in bytes that are no UTF-8.
_WIDE_SIGNS = re.compile(rb"[\n,;\t]\0|\0[\n,;\t]")
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


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
        head: Its first HEAD_BYTES (unpacked), or all of it.
        gzip: The stored bytes are gzip.
        encoding: What the caller declared, a name of ``options.codec_name``; empty: detect.
        delimiter: What the caller declared; empty: detect.
        wanted: Column names that the header must hold: the best hint at the delimiter.

    Raises:
        failures.FileFailure: EMPTY_FILE, NOT_TEXT, NOT_CSV or BAD_ENCODING.
    """
    if not head:
        raise failures.FileFailure("EMPTY_FILE", "The file has 0 bytes; it must have at least a header line.")
    _refuse_binary(head)
    codec, bom_bytes = _encoding(head, encoding)
    text = _decode_head(head[bom_bytes:], codec)
    if not text.strip("\r\n \t\0") and len(head) < HEAD_BYTES:
        raise failures.FileFailure("EMPTY_FILE", "The file holds only blank lines; it must have a header line.")
    _refuse_other_text(text)
    return Dialect(codec, bom_bytes, delimiter or _delimiter(text, wanted), _newline(text), gzip)


def detect_legacy(sample: bytes) -> str:
    """Name the encoding of bytes that are not UTF-8: what charset-normalizer finds, else cp1252.

    Args:
        sample: Lines that hold non-ASCII bytes; the rest of a file says nothing.
    """
    matches = list(charset_normalizer.from_bytes(sample[:_DETECT_BYTES], cp_isolation=list(DETECTABLE)))
    best = matches[0] if matches else None
    found = best.encoding if best else "cp1252"
    for match in matches:
        # Among equals the most common one: a short text often fits several.
        equal = best and (match.chaos, match.coherence) == (best.chaos, best.coherence)
        if equal and "cp1252" in match.could_be_from_charset:
            found = "cp1252"
    name = codecs.lookup(found).name
    if name not in _LATIN and _WESTERN.fullmatch(sample[:_DETECT_BYTES]):
        return "cp1252"
    return codecs.lookup(_SUPERSETS.get(name, name)).name


def tells_nothing(head: bytes) -> bool:
    """Tell whether a file's head is plain ASCII, so that its encoding is open until other bytes come."""
    return all(map(bytes.isascii, _whole_lines(head)))


def mostly_utf8(lines: Sequence[bytes]) -> bool:
    """Tell whether lines with broken UTF-8 are strays in a UTF-8 file, rather than a file of another encoding.

    Another encoding's text is hardly ever valid UTF-8 by chance, so the valid lines outvote the broken ones.
    """
    valid = sum(1 for line in lines if not line.isascii() and _is_utf8(line))
    broken = sum(1 for line in lines if not line.isascii()) - valid
    return valid > broken


def _encoding(head: bytes, declared: str) -> tuple[str, int]:
    for mark, name in _BOMS:
        if head.startswith(mark):
            if declared and not _agrees(declared, name):
                raise failures.FileFailure(
                    "BAD_ENCODING",
                    f"The file begins with the mark of {name}, but {declared} was declared; leave it out.",
                )
            return name, len(mark)
    if declared:
        return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(declared, declared), 0
    nuls = head.count(0)
    if nuls > len(head) // 5:
        raise _unmarked(head)
    whole = _whole_lines(head)
    if all(map(_is_utf8, whole)) or mostly_utf8(whole):
        return "utf-8", 0
    if _WIDE_SIGNS.search(head):  # Japanese in UTF-16, say, has few NUL bytes
        raise _unmarked(head)
    _refuse_junk(head)
    return detect_legacy(b"".join(line for line in whole if not line.isascii())), 0


def _whole_lines(head: bytes) -> list[bytes]:
    lines = head.splitlines(keepends=True)
    if len(head) < HEAD_BYTES:
        return lines
    # The head may end within a character; of a header line that is as long as that, all but its end is looked at.
    return lines[:-1] if len(lines) > 1 else [codecs.getincrementaldecoder("utf-8")("ignore").decode(head).encode()]


def _unmarked(head: bytes) -> failures.FileFailure:
    likely = "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return failures.FileFailure(
        "NOT_TEXT", f"The file is full of NUL bytes: binary, or UTF-16 without its mark; declare encoding={likely}."
    )


def _agrees(declared: str, marked: str) -> bool:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-").removesuffix("-le").removesuffix("-be").removesuffix("-sig")

    return plain(declared) == plain(marked)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def _decode_head(head: bytes, codec: str) -> str:
    decoder = codecs.getincrementaldecoder(codec)(errors="replace")
    text = decoder.decode(head, len(head) < HEAD_BYTES)
    if text.count("\ufffd") > len(text) // 2:
        raise failures.FileFailure(
            "BAD_ENCODING", f"The file is not written in {codec}; leave encoding out to have it detected."
        )
    return text


def _refuse_binary(head: bytes) -> None:
    for magic, what, remedy in _BINARY:
        if head.startswith(magic):
            raise failures.FileFailure("NOT_TEXT", f"The file is {what}, not text; {remedy}.")


def _refuse_junk(head: bytes) -> None:
    """Refuse bytes that are neither UTF-8 nor, by their control characters, text of another encoding."""
    if len(_CONTROLS.findall(head)) > max(4, len(head) // 20):
        raise failures.FileFailure("NOT_TEXT", "The file is full of control characters: binary, not text; send a CSV.")


def _refuse_other_text(text: str) -> None:
    if _JSON.match(text):
        raise failures.FileFailure("NOT_CSV", "The file is JSON, not CSV; export it as CSV with a header line.")
    if _HTML.match(text):
        raise failures.FileFailure(
            "NOT_CSV", "The file is a web page or XML, perhaps a login page saved by mistake; export the table as CSV."
        )


def _delimiter(text: str, wanted: Collection[str]) -> str:
    lines = io.StringIO(text[: HEAD_BYTES // 2], newline="").readlines()[: _SAMPLE_ROWS * 5]
    scores = {delimiter: _score(lines, delimiter, wanted) for delimiter in options.DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0, 0.0, 0) else ","


def _score(lines: list[str], delimiter: str, wanted: Collection[str]) -> tuple[int, float, int]:
    """Score a delimiter: wanted columns found, share of rows as wide as the header, columns."""
    widths: list[int] = []
    header: list[str] = []
    for cells in csv.reader(lines, delimiter=delimiter):
        if cells and not header:
            header = cells
        elif cells:
            widths.append(len(cells))
        if len(widths) == _SAMPLE_ROWS:
            break
    if len(header) < 2:
        return 0, 0.0, 0
    found = len({name.strip() for name in header} & set(wanted))
    fitting = sum(1 for width in widths if width == len(header)) / len(widths) if widths else 0.0
    return found, round(fitting, 1), len(header)


def _newline(text: str) -> str:
    crlf = text.count("\r\n")
    kinds = {"crlf": crlf, "lf": text.count("\n") - crlf, "cr": text.count("\r") - crlf}
    present = [kind for kind, count in kinds.items() if count]
    return present[0] if len(present) == 1 else "mixed" if present else "none"

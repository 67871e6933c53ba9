"""In which encoding a file is written: its mark, what was declared, UTF-8, or what a legacy page looks like."""

import codecs
import re
from collections.abc import Sequence

import charset_normalizer

from services.ingest import failures
from services.ingest.reading import foreign

# How much of the (unpacked) file the decision rests on.
HEAD_BYTES = 256 << 10
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
# Line ends and delimiters of UTF-16, in bytes that are no UTF-8.
_WIDE_SIGNS = re.compile(rb"[\n,;\t]\0|\0[\n,;\t]")


def find(head: bytes, declared: str) -> tuple[str, int]:
    """Return the codec, and the length of the byte order mark.

    Args:
        head: The file's first HEAD_BYTES (unpacked), or all of it.
        declared: What the caller declared; empty: detect.

    Raises:
        failures.FileFailure: NOT_TEXT or BAD_ENCODING.
    """
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
    foreign.refuse_controls(head)
    return detect_legacy(b"".join(line for line in whole if not line.isascii())), 0


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


def decode_head(head: bytes, codec: str) -> str:
    """Return the head as text.

    Raises:
        failures.FileFailure: BAD_ENCODING: it is not written in that codec.
    """
    decoder = codecs.getincrementaldecoder(codec)(errors="replace")
    text = decoder.decode(head, len(head) < HEAD_BYTES)
    if text.count("\ufffd") > len(text) // 2:
        raise failures.FileFailure(
            "BAD_ENCODING", f"The file is not written in {codec}; leave encoding out to have it detected."
        )
    return text


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

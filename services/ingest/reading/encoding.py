"""In which encoding a file is written: its mark, what was declared, UTF-8, or a guess that the whole file must bear."""

import codecs
import dataclasses
import re

from services.ingest import failures, warning
from services.ingest.reading import ballot, foreign, legacy

# How much of the (unpacked) file the decision rests on.
HEAD_BYTES = 256 << 10
UTF8 = "utf-8"
_ESCAPES = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$B", "iso2022_jp_2"), (b"\x1b$@", "iso2022_jp_2"))
# Pages in which small letters stand neither at both ends nor all in the bytes of which UTF-8 is made.
_ALPHABETIC = frozenset(
    {"cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "iso8859-2", "iso8859-7", "iso8859-15", "koi8-r",
     "koi8-u", "cp437", "cp850", "cp852", "cp857", "cp858", "cp866", "mac-roman", "mac-cyrillic"}
)  # fmt: skip
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Line ends and delimiters of UTF-16, in bytes that are no UTF-8.
_WIDE_SIGNS = re.compile(rb"[\n,;\t]\0|\0[\n,;\t]")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The encoding for which the lines of a whole file voted."""

    # Python's name of the codec.
    codec: str
    # A line that shows what a legacy page makes of the text.
    line: str = ""
    # Lines that are no UTF-8.
    lines: int = 0

    @property
    def guessed(self) -> bool:
        """Nothing in the file proves it."""
        return self.codec != UTF8

    def warning(self) -> warning.Warning:
        """Return what is said of a guess."""
        shown = f": {self.line!r}" if self.line else ""
        return warning.Warning(
            "encoding_guessed",
            f"The file is no UTF-8 and was read as {self.codec}, the likeliest encoding{shown}; declare "
            f"encoding={self.codec}, or the right one, to be sure.",
            count=self.lines,
        )


def find(head: bytes, declared: str) -> tuple[str, int]:
    """Return the codec, and the length of the byte order mark.

    Args:
        head: The file's first HEAD_BYTES (unpacked), or all of it.
        declared: What the caller declared; empty: detect. What is then found outside of UTF-8 holds for the head
            only: the whole file votes on it (``verdict``).

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
    # In a script whose letters are bytes of ASCII in UTF-16 (Thai, Arabic, Russian), the header alone may show it.
    if any(part.count(0) > len(part) // 5 for part in (head, head[: head.find(b"\n") + 1])):
        raise _unmarked(head)
    switching = _switching(head)
    if switching:
        return switching, 0
    votes = ballot.Ballot()
    votes.add(_whole_lines(head))
    if votes.says:
        return votes.says, 0
    if _WIDE_SIGNS.search(head):  # Japanese in UTF-16, say, has few NUL bytes
        raise _unmarked(head)
    foreign.refuse_controls(head)
    return legacy.likeliest(votes.sample), 0


def votable(codec: str, declared: str, bom_bytes: int) -> bool:
    """Tell whether a file's lines can vote: nothing was declared or marked, nor do escapes say it."""
    return not declared and not bom_bytes and codec not in {name for _, name in _ESCAPES}


def verdict(votes: ballot.Ballot) -> Verdict:
    """Return what all lines of a file voted for.

    Raises:
        failures.FileFailure: ENCODING_UNCERTAIN.
    """
    if votes.says:
        return Verdict(votes.says, "", votes.other)
    found = legacy.sure(votes.sample)
    return Verdict(found.codec, found.line, votes.other)


def tells_utf8(codec: str) -> bool:
    """Tell whether a whole line of a page is hardly ever valid UTF-8 by chance, as one of Chinese or Thai may be."""
    return codec in _ALPHABETIC


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


def _switching(head: bytes) -> str:
    """Name the encoding of bytes that are all ASCII because escapes switch between sets (ISO 2022, RFC 1468, 1557)."""
    for escape, codec in _ESCAPES:
        if escape in head and head.isascii():
            try:
                codecs.getincrementaldecoder(codec)().decode(head)
            except UnicodeDecodeError:
                continue
            return codec
    return ""


def _unmarked(head: bytes) -> failures.FileFailure:
    likely = "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return failures.FileFailure(
        "NOT_TEXT", f"The file is full of NUL bytes: binary, or UTF-16 without its mark; declare encoding={likely}."
    )


def _agrees(declared: str, marked: str) -> bool:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-").removesuffix("-le").removesuffix("-be").removesuffix("-sig")

    return plain(declared) == plain(marked)

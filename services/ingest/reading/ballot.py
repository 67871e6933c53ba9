"""The vote on a guessed encoding: every line outside ASCII says whether it is UTF-8, and some are kept as a sample."""

import re
from collections.abc import Sequence

from services.ingest.reading import cesu8

SAMPLE_BYTES = 64 << 10
_MOST_TAIL_BYTES = 4 << 20
# One character of UTF-8 beyond ASCII (RFC 3629, section 4).
_CHARACTER = (
    rb"(?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})"
)
_CHARACTERS = re.compile(_CHARACTER)
# Every byte that leads a character becomes C2, every one that follows 80. A search by a pattern takes 50 times as long.
_KINDS = bytes(0xC2 if 0xC2 <= byte <= 0xF4 else 0x80 if 0x80 <= byte <= 0xBF else 0 for byte in range(256))
_UTF8 = re.compile(rb"(?:[\x00-\x7f]++|" + _CHARACTER + rb")*+")
_HIGH = re.compile(rb"[\x80-\xff]")
_DIGITS = re.compile(rb"[0-9]+")
# So many lines are all looked at, of further ones every so-manieth.
_ALL = 20_000
_ALL_BUT = 16
# A byte that few lines have and Windows pages leave open is damage, and no evidence against a page.
_OPEN_BYTES = frozenset(b"\x81\x8d\x8f\x90\x98\x9d")
_DAMAGED_SHARE = 0.03
# Where a line that is too long can be cut: no character of any encoding ends in the middle there.
_CUTS = re.compile(rb"[\n\r\x20-\x2f]")


class Ballot:
    """Counts, over all lines that it is given, those that are UTF-8 and those that are something else.

    A line with a stray byte among more good characters counts as UTF-8: the text of another encoding is hardly ever
    valid UTF-8 by chance.
    """

    def __init__(self) -> None:
        self.utf8 = 0
        self.other = 0
        # Of the others, those that are CESU-8.
        self.cesu8 = 0
        self._sample = _Sample()
        self._tail = b""

    def add(self, lines: Sequence[bytes]) -> None:
        """Let lines vote; those of ASCII have no say."""
        high = [line for line in lines if not line.isascii()]
        if not holds_utf8(high):  # the usual case of another encoding
            self.other += len(high)
            self._sample.extend(high)
            return
        for line in high:
            if is_utf8(line) or self._strays(line):
                self.utf8 += 1
            else:
                self.other += 1
                self._sample.extend((line,))

    def feed(self, data: bytes) -> None:
        """Let the lines vote of a file that comes as it is stored, not line by line; b"" ends it."""
        lines = (self._tail + data).splitlines(keepends=True)
        self._tail = b""
        if data and not lines[-1].endswith(b"\n") and len(lines[-1]) <= _MOST_TAIL_BYTES:
            self._tail = lines.pop()
        self.add(lines)

    def add_good(self, texts: Sequence[str]) -> None:
        """Let lines vote that were read as UTF-8 without fault."""
        self.utf8 += len(texts) - sum(map(str.isascii, texts))

    @property
    def sample(self) -> bytes:
        """Different lines that are no UTF-8, spread over all that voted; SAMPLE_BYTES at most."""
        return b"".join(self._sample.sound())

    @property
    def says(self) -> str:
        """utf-8, cesu-8, or nothing: it is another encoding. Where both stand even, UTF-8, which hides no error."""
        if self.other <= self.utf8:
            return "utf-8" if not self.cesu8 else cesu8.NAME
        return cesu8.NAME if self.other - self.cesu8 < self.utf8 + self.cesu8 else ""

    def _strays(self, line: bytes) -> bool:
        """Tell whether broken bytes of a line are strays in UTF-8."""
        if cesu8.PAIR.search(line):
            plain = cesu8.PAIR.sub(b"\xc3\xa9", line)
            if is_utf8(plain):
                self.cesu8 += 1
                return False
            line = plain
        left, good = _CHARACTERS.subn(b"", line)
        return good > len(_HIGH.findall(left))


def is_utf8(line: bytes) -> bool:
    """Tell whether a line is UTF-8; fast where it is not, which costs an exception otherwise."""
    return _UTF8.fullmatch(line) is not None


def holds_utf8(lines: Sequence[bytes]) -> bool:
    """Tell whether there may be a character of UTF-8 or CESU-8 in lines: a leading byte, then one that follows."""
    return b"\xc2\x80" in b"".join(lines).translate(_KINDS)


class _Sample:
    """Every so-manieth of the different lines: when they fill the room, every second one goes, and so on."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._seen: set[bytes] = set()
        self._bytes = 0
        self._every = 1
        self._count = 0
        # Of the lines looked at, also those that say nothing new.
        self._looked_at = 0
        self._damaged = 0

    def sound(self) -> list[bytes]:
        """Return the lines, without those of rare damage."""
        if not 0 < self._damaged <= self._looked_at * _DAMAGED_SHARE:
            return self.lines
        return [line for line in self.lines if _OPEN_BYTES.isdisjoint(line)]

    def extend(self, lines: Sequence[bytes]) -> None:
        """Take what there is room for."""
        skipped = -self._count % self._every
        self._count += len(lines)
        for line in lines[skipped :: self._every]:
            self._add(line)
        if self._count > _ALL:  # files say the same again and again
            self._every = max(self._every, _ALL_BUT)

    def _add(self, line: bytes) -> None:
        self._looked_at += 1
        self._damaged += not _OPEN_BYTES.isdisjoint(line)
        key = _DIGITS.sub(b"", line[:1_000])  # the same text under another number says nothing new
        if key in self._seen:
            return
        line = _short(line)
        self._seen.add(key)
        self.lines.append(line)
        self._bytes += len(line)
        while self._bytes > SAMPLE_BYTES and len(self.lines) > 1:
            self.lines = self.lines[::2]
            self._bytes = sum(map(len, self.lines))
            self._seen = {_DIGITS.sub(b"", each[:1_000]) for each in self.lines}
            self._every *= 2


def _short(line: bytes) -> bytes:
    """Return a line, or the beginning of a long one with what speaks in it."""
    limit = SAMPLE_BYTES // 16
    if len(line) <= limit:
        return line
    first = next(_HIGH.finditer(line)).start()
    begin = max((match.end() for match in _CUTS.finditer(line, max(0, first - limit), first)), default=first)
    piece = line[begin : begin + limit]
    told = next(_HIGH.finditer(piece)).end()
    end = max((match.start() for match in _CUTS.finditer(piece, told)), default=len(piece))
    return piece[:end] + b"\n"

"""What stands in a parsed block and the csv module says nothing of: quotes in the wrong place, byte order marks."""

import csv
import dataclasses

from services.ingest.reading import quoting

BAD_QUOTING = "bad_quoting"
_MARK = "\ufeff"


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """A block as it is being parsed; all positions are from its first line or row."""

    lines: list[str]
    rows: list[list[str]]
    # Lines used up to and with row i.
    ends: list[int]
    # Lines that are blank.
    blanks: list[int]
    # Position of a row → what is wrong with it.
    flaws: dict[int, str]

    def text(self, position: int) -> str:
        """Return a row's text, without the line end behind it."""
        start = self.ends[position - 1] if position else 0
        if start + 1 == self.ends[position]:
            return without_end(self.lines[start])
        lines = self.lines[start : self.ends[position]]
        begun = 0
        while begun < len(lines) - 1 and not lines[begun].strip("\0\x1a\r\n"):
            begun += 1
        return without_end("".join(lines[begun:]))


class Records:
    """Looks at the rows of a file that hold quotes.

    RFC 4180: a cell with a quote in it is quoted. A row with one that is not is damaged, and its cells may be cut at
    the wrong delimiter. But where the writer never quotes, a quote is a character like any other.

    Args:
        rules: How cells are quoted.
        writer_quotes: Some cell of the file is quoted.
    """

    def __init__(self, rules: quoting.Rules, *, writer_quotes: bool) -> None:
        self._rules = rules
        self._writer_quotes = writer_quotes
        # A cell was met that is quoted as the rules say; and a quote in one that is not quoted.
        self.quoted = False
        self.bare = False

    def look_at(self, parsed: Parsed) -> None:
        """Look at a block in whose lines there is a quote."""
        quote = self._rules.quote
        # One pass at the speed of C: most blocks have no quotes but those around cells.
        suspects = [row for row, text in enumerate(map("".join, parsed.rows)) if quote in text]
        if not self.quoted and len(suspects) < len(parsed.rows):
            self.quoted = self._some_quoted(parsed, frozenset(suspects))
        for position in suspects:
            if position not in parsed.flaws:
                self._look_at_row(parsed, position)

    def broken(self, parsed: Parsed, line: int) -> None:
        """Take the line at which csv stumbled: a row of its own, read as it stands where only blanks are too many."""
        text = without_end(parsed.lines[line])
        found = self._rules.look_at(text)
        position = len(parsed.rows)
        parsed.ends.append(line + 1)
        if found.cells is not None:
            self.quoted = self.quoted or found.quoted
            parsed.rows.append(found.cells)
            return
        parsed.rows.append([text])
        parsed.flaws[position] = BAD_QUOTING

    def without_marks(self, parsed: Parsed) -> None:
        """Read rows that begin with a byte order mark without it: files were put together."""
        for position, row in enumerate(parsed.rows):
            if row[0].startswith(_MARK) and position not in parsed.flaws:
                text = parsed.text(position).lstrip(_MARK)
                try:
                    parsed.rows[position] = next(self._rules.parser(self._rules.readable([text])), [""])
                except csv.Error:
                    parsed.rows[position] = [text]
                    parsed.flaws[position] = BAD_QUOTING

    def _some_quoted(self, parsed: Parsed, suspects: frozenset[int]) -> bool:
        """A row whose cells have no quote, while its lines do."""
        quote, start = self._rules.quote, 0
        for position, end in enumerate(parsed.ends):
            if position not in suspects and any(quote in line for line in parsed.lines[start:end]):
                return True
            start = end
        return False

    def _look_at_row(self, parsed: Parsed, position: int) -> None:
        text = parsed.text(position)
        if self._rules.keeps_to(text, parsed.rows[position]):
            self.quoted = True
            return
        found = self._rules.look_at(text.lstrip(_MARK))
        if found.cells is None:
            self.bare = True
            if self._writer_quotes:
                parsed.rows[position] = [text]
                parsed.flaws[position] = BAD_QUOTING
            return
        self.quoted = self.quoted or found.quoted
        if found.loose:
            parsed.rows[position] = found.cells


def without_end(line: str) -> str:
    """Return a line without its line end."""
    return line[:-2] if line.endswith("\r\n") else line[:-1] if line.endswith(("\n", "\r")) else line

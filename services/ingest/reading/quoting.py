r"""How cells are quoted, and what a record looks like that keeps to it.

csv        RFC 4180: a quote opens a cell where it begins, and stands doubled inside
backslash  a backslash takes the meaning from a quote, a delimiter or itself (MySQL, Spark, Hive); before anything
           else it is a character, so that \N and \n stay as they are
none       a quote is a character like any other (TSV dumps)
"""

import csv
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

CSV = "csv"
BACKSLASH = "backslash"
NONE = "none"
SINGLE = "'"


class Parser(Protocol):
    """What csv.reader returns."""

    @property
    def line_num(self) -> int:
        """Lines used so far."""
        ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


class Record(NamedTuple):
    """A record looked at closely."""

    # None: a quote stands in a cell that is not quoted.
    cells: list[str] | None
    # A cell is quoted as the rules say.
    quoted: bool
    # Blanks stand between a delimiter and a quote.
    loose: bool


@dataclasses.dataclass(frozen=True)
class Rules:
    """The rules of one file."""

    delimiter: str
    # csv, backslash or none.
    kind: str = CSV
    quote: str = '"'
    # Blanks behind a delimiter belong to it.
    spaced: bool = False

    def parser(self, lines: Iterable[str], *, strict: bool = True) -> Parser:
        """Return a parser of lines that ``readable`` prepared."""
        if self.kind == NONE:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar="\\" if self.kind == BACKSLASH else None,
            doublequote=self.kind == CSV,
            skipinitialspace=self.spaced,
            strict=strict,
        )

    def readable(self, lines: list[str]) -> list[str]:
        """Prepare lines for the parser: it would take every backslash for an escape."""
        if self.kind != BACKSLASH:
            return lines
        return [self._escapes.sub(_kept, line) if "\\" in line else line for line in lines]

    def keeps_to(self, record: str, cells: Sequence[str]) -> bool:
        """Tell, at a tenth of the cost of ``look_at``, that each cell with a quote in it is quoted; False: look at it.

        Within a quoted cell quotes come in pairs, so that a delimiter, one quote and a cell's content as it is written
        in quotes stand nowhere else than where that cell is.
        """
        if self.kind != CSV or self.spaced:
            return False
        quote, delimiter = self.quote, self.delimiter
        marked = [cell for cell in cells if quote in cell]
        if len(marked) > 1 and len(set(marked)) < len(marked):
            return False
        whole = f"{delimiter}{record}{delimiter}"
        for cell in marked:
            written = cell.replace(quote, quote + quote)
            if f"{delimiter}{quote}{written}{quote}{delimiter}" not in whole:
                return False
        return True

    def look_at(self, record: str) -> Record:
        """Look at a record that holds quotes: is each of them where the rules want it?

        Blanks between a delimiter and a quote belong to neither; ``cells`` are without them.

        Args:
            record: Its text, without the line end behind it.
        """
        if self._record.fullmatch(record) is None:
            return Record(None, quoted=False, loose=False)
        cells, quoted, loose = [], False, False
        for found in self._cell.finditer(record):
            body = found["body"]
            if body is None:
                cells.append(self._plain(found["plain"]))
                continue
            quoted = True
            loose = loose or bool(found["before"] or found["after"])
            cells.append(self._unquoted(body))
        return Record(cells, quoted, loose)

    def _plain(self, cell: str) -> str:
        if self.spaced:
            cell = cell.lstrip(" ")
        return self._escaped.sub(r"\1", cell) if self.kind == BACKSLASH else cell

    def _unquoted(self, body: str) -> str:
        if self.kind == BACKSLASH:
            return self._escaped.sub(r"\1", body)
        return body.replace(self.quote * 2, self.quote)

    @functools.cached_property
    def _escapes(self) -> re.Pattern[str]:
        """A backslash, and what it escapes."""
        return re.compile(rf"\\([{self.quote}\\{re.escape(self.delimiter)}\r\n]?)")

    @functools.cached_property
    def _escaped(self) -> re.Pattern[str]:
        return re.compile(rf"\\([{self.quote}\\{re.escape(self.delimiter)}\r\n])")

    @functools.cached_property
    def _cell(self) -> re.Pattern[str]:
        """One cell with the delimiter before it."""
        return re.compile(rf"(?:\A|{re.escape(self.delimiter)}){self._form(named=True)}", re.DOTALL)

    @functools.cached_property
    def _record(self) -> re.Pattern[str]:
        form = self._form(named=False)
        return re.compile(rf"{form}(?:{re.escape(self.delimiter)}{form})*+", re.DOTALL)

    def _form(self, *, named: bool) -> str:
        """The form of a cell; possessive, so that it takes linear time."""
        quote, delimiter = self.quote, re.escape(self.delimiter)
        blanks = " *+" if self.delimiter == "\t" else r"[ \t]*+"
        if self.kind == BACKSLASH:
            body, plain = rf"(?:[^{quote}\\]++|\\.)*+", rf"(?:[^{quote}\\{delimiter}\r\n]++|\\.)*+"
        else:
            body, plain = rf"(?:[^{quote}]++|{quote}{quote})*+", rf"[^{quote}{delimiter}\r\n]*+"
        if not named:
            return rf"(?:{blanks}{quote}{body}{quote}{blanks}|{plain})"
        return rf"(?:(?P<before>{blanks}){quote}(?P<body>{body}){quote}(?P<after>{blanks})|(?P<plain>{plain}))"


def _kept(match: re.Match[str]) -> str:
    return match[0] if match[1] else "\\\\"

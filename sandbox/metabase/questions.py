"""The questions: what each answers for its template tags."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Metabase's own caps: of an export (metabase.query_processor.middleware.limit) and of /query.
EXPORT_ROWS = 1_048_575
QUERY_ROWS = 2_000
FIRST_DAY = datetime.date(2025, 1, 1)
_ROWS_A_PIECE = 1_000
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?")

Row = Sequence[str]


class ParameterError(ValueError):
    """The parameters are not those of the question; the message is Metabase's."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A saved question. ``tags`` maps its template tags to whether they must be given.

    ``rows`` None: they are made up, ``count`` of them, ten a day from FIRST_DAY on, and filtered by their created_at.
    """

    id: int
    tags: Mapping[str, bool]
    columns: Sequence[str] = ("id", "formatted_text", "created_at")
    rows: Sequence[Row] | None = None
    count: int = 0

    @classmethod
    def parse(cls, fields: Any) -> Question:
        """Read a question from JSON. Raises ValueError naming what is wrong."""
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not {"id"} <= set(fields) <= known:
            raise ValueError(f"a question is an object of {', '.join(sorted(known))}; id is needed")
        given = dict(fields)
        given.setdefault("tags", {"Start_Date": False, "End_Date": False})
        if given.get("rows") is not None:
            given["rows"] = [[str(cell) for cell in row] for row in given["rows"]]
        return cls(**given)

    def answer(self, parameters: Sequence[Any]) -> Iterator[Row]:
        """The rows for these parameters.

        Raises:
            ParameterError: An unknown tag, a missing one, or no date.
        """
        values = self._values(parameters)
        if self.rows is not None:
            return iter(self.rows)
        return self._made_up(values.get("Start_Date"), values.get("End_Date"))

    def _values(self, parameters: Sequence[Any]) -> dict[str, datetime.date]:
        values = {}
        for parameter in parameters:
            name = _tag(parameter)
            if name not in self.tags:
                raise ParameterError(f'Invalid parameter: Card {self.id} does not have a template tag named "{name}".')
            try:
                values[name] = datetime.date.fromisoformat(parameter["value"])
            except (KeyError, TypeError, ValueError):
                raise ParameterError(f"Error parsing the value of parameter {name}.") from None
        for name, needed in self.tags.items():
            if needed and name not in values:
                raise ParameterError(f"You'll need to pick a value for '{name}' before this query can run.")
        return values

    def _made_up(self, start: datetime.date | None, end: datetime.date | None) -> Iterator[Row]:
        for number in range(1, self.count + 1):
            day = FIRST_DAY + datetime.timedelta(days=(number - 1) // 10)
            if (start and day < start) or (end and day > end):
                continue
            yield str(number), f'Order {number}, "as new",\nshipped to region {number % 17}', f"{day}T00:00:00Z"


def pieces(question: Question, rows: Iterable[Row], *, formatted: bool = True) -> Iterator[bytes]:
    """The export as CSV, the header first, some rows at a time.

    Metabase shows numbers and dates as its pages do unless it is told ``format_rows=false``; keys it leaves alone.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(question.columns)
    for number, row in enumerate(rows, start=1):
        cells = zip(question.columns, row, strict=False)
        writer.writerow([_shown(cell) if formatted and name != "id" else cell for name, cell in cells])
        if number % _ROWS_A_PIECE == 0:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def _shown(cell: str) -> str:
    """A cell as Metabase's pages show it."""
    if _NUMBER.fullmatch(cell):
        return f"{float(cell):,.2f}".removesuffix(".00")
    if _DATE.fullmatch(cell):
        moment = datetime.datetime.fromisoformat(cell)
        day = f"{moment:%B} {moment.day}, {moment.year}"
        return f"{day}, {moment.hour % 12 or 12}:{moment:%M} {moment:%p}" if len(cell) > len("YYYY-MM-DD") else day
    return cell


def _tag(parameter: Any) -> str:
    """``["variable", ["template-tag", name]]``."""
    try:
        kind, (what, name) = parameter["target"]
    except (KeyError, TypeError, ValueError):
        raise ParameterError("Invalid parameter: it has no target.") from None
    if (kind, what) != ("variable", "template-tag") or not isinstance(name, str):
        raise ParameterError("Invalid parameter: its target is no template tag.")
    return name

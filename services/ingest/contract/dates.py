"""The date filter: the day of a row, and whether a request's start_date and end_date take it in."""

import dataclasses
import datetime
import functools
import re
from collections.abc import Sequence

from services.ingest.request import options

_ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T\s].*)?", re.ASCII | re.DOTALL)
_US_DAY = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?:\s.*)?", re.ASCII | re.DOTALL)
# A day and what shows that it ends there. More is not looked at, nor kept in the cache: a cell may have a megabyte.
_TELLING_CHARACTERS = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """The days of one request; both ends are taken in, None is open."""

    # Of the date's column.
    position: int
    start: datetime.date | None
    end: datetime.date | None

    def day(self, cells: Sequence[str]) -> datetime.date | None:
        """Return the day of a row: of an ISO date or date-time, or of a US date (M/D/YYYY, M-D-YYYY), as written.

        The time zone is ignored. None: it has none.
        """
        return _day(cells[self.position].lstrip()[:_TELLING_CHARACTERS])

    def takes(self, day: datetime.date) -> bool:
        """Tell whether a day is one that was asked for."""
        return (not self.start or day >= self.start) and (not self.end or day <= self.end)


def of(names: Sequence[str], chosen: options.Options) -> Filter | None:
    """Return the filter of a request; None where it gives no dates."""
    if not chosen.dated:
        return None
    return Filter(names.index(chosen.date_column), chosen.start_date, chosen.end_date)


@functools.lru_cache(maxsize=4_096)
def _day(written: str) -> datetime.date | None:
    if match := _ISO_DAY.fullmatch(written):
        year, month, day = match.groups()
    elif match := _US_DAY.fullmatch(written):
        month, _, day, year = match.groups()
    else:
        return None
    try:
        return datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None

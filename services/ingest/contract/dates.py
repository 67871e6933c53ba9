"""The date filter: the day of a row, and whether a request's start_date and end_date take it in."""

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence

from services.ingest.contract import date_orders, moments
from services.ingest.request import options

_SINCE_1970 = re.compile(r"\s*[0-9]{10}(?:[0-9]{3})?(?:\.[0-9]+)?\s*")


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """The days of one request; both ends are taken in, None is open."""

    # Of the date's column.
    position: int
    start: datetime.date | None
    end: datetime.date | None
    # In which the column may write its dates; of a row the first counts that it can be read in.
    orders: tuple[str, ...] = moments.ORDERS
    # In which days are compared, and of which those are that name none.
    zone: moments.Zone = datetime.UTC

    def day(self, cells: Sequence[str]) -> datetime.date | None:
        """Return the day of a row; None: it has none."""
        written = moments.read(cells[self.position])
        return self.day_of(written) if written is not None else None

    def day_of(self, written: moments.Written) -> datetime.date | None:
        """Return the day of a date, in the first order in which it has one."""
        for order in self.orders:
            day = written.day(order, self.zone)
            if day is not None:
                return day
        return None

    def takes(self, day: datetime.date) -> bool:
        """Tell whether a day is one that was asked for."""
        return (not self.start or day >= self.start) and (not self.end or day <= self.end)

    def refusal(self, cells: Sequence[str]) -> str:
        """Say why a row without a day has none, and what to do."""
        cell = cells[self.position]
        said = f"{cell[:40]!r} is no date"
        if not cell.strip():
            said = "The row has no date"
        elif _SINCE_1970.fullmatch(cell):
            said += " (seconds since 1970 are not read as one)"
        elif moments.read(cell):
            said += date_orders.in_words(self.orders)
        return f"{said}; write YYYY-MM-DD, or leave the date filter out."


def of(
    names: Sequence[str], chosen: options.Options, orders: Mapping[str, tuple[str, ...]] | None = None
) -> Filter | None:
    """Return the filter of a request; None where it gives no dates.

    Args:
        names: The source's columns.
        chosen: The request.
        orders: What a scan found out, by column; what it did not is as the request has it.
    """
    if not chosen.dated:
        return None
    found = (orders or {}).get(chosen.date_column, date_orders.asked(chosen))
    position = names.index(chosen.date_column)
    return Filter(position, chosen.start_date, chosen.end_date, found, moments.zone(chosen.time_zone))

"""What a cell says of a day and a time: every form of a date that is read, in each order that its numbers may have.

Read are, alone or followed by a time (24 hours or AM/PM, fractions, Z, UTC, GMT or an offset):

* a year of four digits first: 2024-04-03, 2024/4/3, 2024.04.03, 20240403, 2024年4月3日;
* the year last: 03/04/2024, 3-4-2024, 3.4.2024. Their order is a matter of the column (see date_orders.py);
* a year of two digits: 03/04/24, where it may stand first too; 69 to 99 are 1969 to 1999, as in POSIX;
* a month's name: 3 Apr 2024, April 3rd, 2024, 03-Apr-24 (the day before the month is no year), Wed Apr 3 10:00:00 2024.

Anything else is no date: there is no cell of which a part is read and a part ignored.
"""

import datetime
import functools
import re
import unicodedata
import zoneinfo
from typing import NamedTuple

from services.ingest.contract import calendar_words, excel

Zone = datetime.tzinfo

# What the numbers of a date may mean, in the order in which they stand. The first is tried first.
ORDERS = ("ymd", "mdy", "dmy")

# Longer cells are no dates: "Wed Apr 03 2024 10:00:00 GMT+0200 (Central European Summer Time)" has 64.
_LONGEST = 100
_SHORTEST = 6
_PIVOT = 69
_MIDNIGHT = datetime.time()
_NOTHING = datetime.timedelta()
_UTC = datetime.UTC
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
_SECOND = datetime.timedelta(seconds=1)
_WHOLE_DAY = datetime.timedelta(days=1)

_YEAR = r"(?P<year>[0-9]{4}(?![0-9])|[0-9]{2}(?![0-9:.h]))"
_MONTH = r"(?P<month>[^\W\d_]{3,12})"
_ORDINAL = r"(?:st|nd|rd|th|er|º|°)?"
# A day of numbers, where nothing but a time can follow.
_DAY = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}(?![0-9.])")
_WEEKDAY = re.compile(r"(?P<word>[^\W\d_]{2,12})\.?,?\s+")
_PACKED = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"(?:T?(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})?)?(?![0-9])"
)
_YEAR_FIRST = re.compile(
    r"(?P<year>[0-9]{4})\s?(?P<mark>[-/.])\s?(?P<month>[0-9]{1,2})\s?(?P=mark)\s?(?P<day>[0-9]{1,2})(?![0-9])"
    r"(?:\.(?=\s|$))?"
)
_EAST = re.compile(r"(?P<year>[0-9]{4})\s?[年년]\s?(?P<month>[0-9]{1,2})\s?[月월]\s?(?P<day>[0-9]{1,2})\s?[日일]")
_YEAR_LAST = re.compile(
    r"(?P<first>[0-9]{1,2})\s?(?P<mark>[-/.])\s?(?P<second>[0-9]{1,2})\s?(?P=mark)\s?(?P<third>[0-9]{4}|[0-9]{1,2})"
    r"(?![0-9])(?:\.(?=\s|$))?"
)
_DAY_NAMED = re.compile(
    rf"(?P<day>[0-9]{{1,2}}){_ORDINAL}\.?[-\s/,]*(?:(?:de|of)\s+)?{_MONTH}\.?[-\s/.,]*(?:(?:de|del)\s+)?{_YEAR}", re.I
)
_MONTH_NAMED = re.compile(rf"{_MONTH}\.?[-\s/]*(?P<day>[0-9]{{1,2}}){_ORDINAL}(?:\s*,\s*|[-\s/.]+){_YEAR}", re.I)
_YEAR_NAMED = re.compile(
    rf"(?P<year>[0-9]{{4}})[-\s/.,]+{_MONTH}\.?[-\s/.,]*(?P<day>[0-9]{{1,2}}){_ORDINAL}(?![0-9])", re.I
)
# As ctime and `date` write it: the year behind the time.
_YEAR_BEHIND = re.compile(
    rf"{_MONTH}\s+(?P<day>[0-9]{{1,2}})\s+(?P<time>[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?)"
    r"(?:\s+(?P<zone>UTC|GMT|Z|[+-][0-9]{4}))?\s+(?P<year>[0-9]{4})",
    re.I,
)
_TIME = re.compile(
    r"(?:T|:|,?\s+|,)(?P<hour>[0-9]{1,2})"
    r"(?:[:.h](?P<minute>[0-9]{2})(?:[:.](?P<second>[0-9]{2})(?:[.,:](?P<fraction>[0-9]{1,12}))?)?)?"
    r"\s*(?P<half>[ap]\.?\s?m\.?)?"
    r"(?:\s*(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?\s?[+\-\u2212][0-9]{1,2}(?::?[0-9]{2})?(?:\s[A-Z]{3,5})?)"
    # Its name, in brackets.
    r"(?:\s*(?:\([^()]*\)|\[[^\[\]]*\]))?)?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"(?P<sign>[+\-\u2212])(?P<hours>[0-9]{1,2}):?(?P<minutes>[0-9]{2})?")


class Written(NamedTuple):
    """A cell that is a date, as it is written."""

    # By ORDERS; None: it cannot be read so. The same day three times where the order says nothing.
    days: tuple[datetime.date | None, datetime.date | None, datetime.date | None]
    # Since midnight.
    time: datetime.timedelta = _NOTHING
    # From UTC; None: none is written.
    offset: datetime.timedelta | None = None
    # Its numbers are parted by dots.
    dotted: bool = False

    @property
    def plain(self) -> bool:
        """It means the same in every order."""
        first, second, third = self.days
        return first is second is third

    def day(self, order: str, zone: Zone) -> datetime.date | None:
        """Return the day in a zone, of which a cell without an offset is; None: it is none in that order."""
        written = self.days[ORDERS.index(order)]
        if written is None or (self.time < _WHOLE_DAY and (self.offset is None or (not self.offset and zone is _UTC))):
            return written
        try:
            moment = datetime.datetime.combine(written, _MIDNIGHT) + self.time
            if self.offset is None:
                return moment.date()
            return (moment - self.offset).replace(tzinfo=_UTC).astimezone(zone).date()
        except (OverflowError, ValueError):
            return None

    def seconds(self, order: str, zone: Zone) -> float | None:
        """Return the seconds since 1970 (UTC), a whole number where it is one; None: it is none in that order."""
        written = self.days[ORDERS.index(order)]
        if written is None:
            return None
        moment = datetime.datetime.combine(written, _MIDNIGHT)
        try:
            moment += self.time if self.offset is None else self.time - self.offset
            passed = moment.replace(tzinfo=zone if self.offset is None else _UTC) - _EPOCH
        except (OverflowError, ValueError):
            return None
        return passed / _SECOND if passed % _SECOND else passed // _SECOND


def zone(name: str) -> Zone:
    """Return a zone of the IANA database by its name."""
    return _UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def read(cell: str) -> Written | None:
    """Return what a cell says; None: it is no date."""
    bare = cell.strip()
    if bare[:1] == "=":
        bare = excel.content(bare).strip()
    if not _SHORTEST <= len(bare) <= _LONGEST:
        return None
    # Days repeat, and so do times; the two together hardly do.
    if (match := _DAY.match(bare)) and (written := _day(match[0])):
        if match.end() == len(bare):
            return written
        if clock := _clock(bare[match.end() :]):
            return Written(written.days, clock[0], clock[1], written.dotted)
    return _read(bare)


@functools.lru_cache(maxsize=4_096)
def _day(cell: str) -> Written | None:
    try:
        return _numbers(cell)
    except ValueError:  # no day of the calendar
        return None


@functools.lru_cache(maxsize=4_096)
def _read(cell: str) -> Written | None:
    try:
        if cell[4] == cell[7:8] == "-" and cell[10:11] in ("", "T", " "):
            return _written(datetime.datetime.fromisoformat(cell))
    except ValueError:
        pass
    cell = unicodedata.normalize("NFC", cell)
    try:
        return _numbers(cell) or _named(cell)
    except ValueError:  # no day of the calendar, or no time of the day
        return None


def _written(moment: datetime.datetime) -> Written:
    day = moment.date()
    time = moment.replace(tzinfo=None) - datetime.datetime.combine(day, _MIDNIGHT)
    return Written((day, day, day), time, moment.utcoffset())


def _numbers(cell: str) -> Written | None:
    if match := _PACKED.match(cell):
        clock = f"T{match['hour']}:{match['minute']}:{match['second'] or '00'}" if match["hour"] else ""
        return _timed(_certain(match["year"], match["month"], match["day"]), clock + cell[match.end() :])
    if match := _YEAR_FIRST.match(cell) or _EAST.match(cell):
        return _timed(_certain(match["year"], match["month"], match["day"]), cell[match.end() :])
    if match := _YEAR_LAST.match(cell):
        first, second, third = match["first"], match["second"], match["third"]
        days = (
            _possible(first, second, third) if len(third) <= 2 else None,
            _possible(third, first, second),
            _possible(third, second, first),
        )
        if any(days):
            return _timed(Written(days, dotted=match["mark"] == "."), cell[match.end() :])
    return None


def _named(cell: str) -> Written | None:
    weekday = _WEEKDAY.match(cell)
    if weekday and calendar_words.is_weekday(weekday["word"]):
        bare = cell[weekday.end() :]
        return _numbers(bare) or _month_named(bare)
    return _month_named(cell)


def _month_named(cell: str) -> Written | None:
    if match := _YEAR_BEHIND.match(cell):
        rest = f" {match['time']}{match['zone'] or ''}" + cell[match.end() :]
    elif match := _DAY_NAMED.match(cell) or _MONTH_NAMED.match(cell) or _YEAR_NAMED.match(cell):
        rest = cell[match.end() :]
    else:
        return None
    month = calendar_words.month(match["month"])
    return _timed(_certain(match["year"], str(month), match["day"]), rest) if month else None


def _certain(year: str, month: str, day: str) -> Written:
    found = datetime.date(_full(year), int(month), int(day))
    return Written((found, found, found))


def _possible(year: str, month: str, day: str) -> datetime.date | None:
    if len(year) == 1:
        return None
    try:
        return datetime.date(_full(year), int(month), int(day))
    except ValueError:
        return None


def _full(year: str) -> int:
    number = int(year)
    if len(year) == 4:
        return number
    return number + (1900 if number >= _PIVOT else 2000)


def _timed(written: Written, rest: str) -> Written | None:
    """Add what follows the day: nothing, or a time and nothing else."""
    if not rest:
        return written
    clock = _clock(rest)
    return written._replace(time=clock[0], offset=clock[1]) if clock else None


@functools.lru_cache(maxsize=4_096)
def _clock(rest: str) -> tuple[datetime.timedelta, datetime.timedelta | None] | None:
    """Read a time with what leads to it: since midnight, and from UTC."""
    match = _TIME.fullmatch(rest)
    if match is None or not (match["minute"] or match["half"]):
        return None
    hour, minute, second = int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"][0] in "pP" else 0)
    # 24:00 is the end of the day (ISO 8601), 60 a leap second.
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    micros = int((match["fraction"] or "0")[:6].ljust(6, "0"))
    time = datetime.timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)
    try:
        return time, _offset(match["zone"])
    except ValueError:
        return None


def _offset(written: str | None) -> datetime.timedelta | None:
    if not written:
        return None
    match = _OFFSET.search(written)
    if match is None:  # Z, UTC, GMT
        return datetime.timedelta()
    hours, minutes = int(match["hours"]), int(match["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(written)
    size = datetime.timedelta(hours=hours, minutes=minutes)
    return size if match["sign"] == "+" else -size

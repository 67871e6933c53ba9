"""A moment from which on things are wanted, as callers write it."""

import datetime
import re
from typing import Final

_SPAN: Final = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FORMS: Final = "A time in RFC 3339 (2026-11-30T06:00:00Z), a day (2026-11-30), or how long ago (90m, 2h, 7d)."


def parse(text: str, now: datetime.datetime) -> datetime.datetime:
    """The moment that `text` means.

    Args:
        text: RFC 3339 with its zone, YYYY-MM-DD (the beginning of that day in UTC), or a span before now: a whole
            number and s, m, h, d or w.
        now: The time, with its zone.

    Raises:
        ValueError: It is none of these.
    """
    if span := _SPAN.fullmatch(text):
        try:
            return now - datetime.timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
        except OverflowError:
            return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    if len(text) == len("2026-11-30"):
        day = datetime.date.fromisoformat(text)
        return datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(datetime.UTC)

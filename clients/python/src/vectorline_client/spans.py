"""Moments and spans as people write them."""

import datetime
import re
from typing import Final

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def moment(since: datetime.datetime | datetime.timedelta | str) -> datetime.datetime:
    """The moment that is meant, with its zone.

    Args:
        since: A time (without a zone: local), a span before now, or text: RFC 3339, YYYY-MM-DD (UTC), 90m, 2h, 7d.

    Raises:
        ValueError: The text is none of these.
    """
    now = datetime.datetime.now(datetime.UTC)
    if isinstance(since, datetime.timedelta):
        return now - since
    if isinstance(since, datetime.datetime):
        return since.astimezone(datetime.UTC)
    if span := _SPAN.fullmatch(since):
        return now - datetime.timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
    try:
        found = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise ValueError(f"{since!r} is no moment: 2026-11-30T06:00:00Z, 2026-11-30, 90m, 2h or 7d is.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)

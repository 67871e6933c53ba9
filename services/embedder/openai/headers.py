"""What OpenAI's headers and words say about the quota. Absurd values are bounded: none stops the line for good."""

import datetime
import email.utils
import re
from collections.abc import Mapping

DEFAULT_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 120.0
# Of the time that one request takes of a minute's limit. A true one is named with the next 429, if not with this.
EARLY = 0.25

# "Please try again in 6m0s", "Please retry after 30 seconds", "Wait 1.5 minutes".
_WORDS = re.compile(r"\b(?:again|retry|wait)\b\D{0,20}((?:\d+(?:\.\d+)? ?(?:ms|[smhd][a-z]*) ?)+)", re.I)
_WORDS_PART = re.compile(r"(\d+(?:\.\d+)?) ?(ms|[smhd])", re.I)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(text: str) -> float | None:
    """A Go-style duration such as "1m30.5s" or "120ms", or a plain number of seconds; None when it is neither."""
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return seconds if 0 <= seconds < float("inf") else None


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """retry-after-ms or retry-after (seconds, or a date) in seconds, bounded; None when neither is usable."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = duration_seconds(headers.get(name, ""))
        if value is not None:
            return min(value * unit, LONGEST_PAUSE_SECONDS)
    until, now = _moment(headers.get("retry-after", "")), _moment(headers.get("date", ""))
    if until is None:
        return None
    # By the clock that wrote the date, if it tells: ours may be another.
    seconds = (until - (now or datetime.datetime.now(datetime.UTC))).total_seconds()
    return min(seconds, LONGEST_PAUSE_SECONDS) if seconds > 0 else None


def _moment(text: str) -> datetime.datetime | None:
    """An HTTP date (RFC 9110, 5.6.7); None when it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone of twenty digits is the latter
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def limit_per_minute(headers: Mapping[str, str], kind: str) -> float:
    """The limit of a kind ("requests" or "tokens") that a 429 names; 0 when it names none a minute.

    The header has no unit. OpenAI's is a minute, but a server in its place may count by the second: taken for a
    minute's, that would all but stop the line. It shows by being let in again long before a minute's share is due.
    """
    try:
        value = float(headers.get(f"x-ratelimit-limit-{kind}", ""))
    except ValueError:
        return 0.0
    if not 0 < value < float("inf"):
        return 0.0
    return 0.0 if kind == "requests" and pause_seconds(headers) < EARLY * 60 / value else value


def words_seconds(words: str) -> float | None:
    """How long to wait, where a sentence says it; None: it does not."""
    found = _WORDS.search(words)
    if not found:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit.lower()] for number, unit in _WORDS_PART.findall(found[1]))


def pause_seconds(headers: Mapping[str, str], words: str = "") -> float:
    """How long everybody pauses after a 429: retry-after, else the reset of what is used up, its words, or a second."""
    told = retry_after_seconds(headers)
    if told is not None:
        return told
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            reset = duration_seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
            if reset is not None:
                return min(reset, LONGEST_PAUSE_SECONDS)
    said = words_seconds(words)
    return DEFAULT_PAUSE_SECONDS if said is None else min(said, LONGEST_PAUSE_SECONDS)

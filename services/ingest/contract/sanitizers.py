"""What becomes of a text before it is embedded: clean, legacy or none (API.md §2)."""

import datetime
import html
import re
from collections.abc import Callable, Sequence

import numpy as np

from services.ingest.contract import markup

Sanitizer = Callable[[str], str]

# With its semicolon only: "?a=1&copy=2" is a URL.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Invisible and without meaning; the joiners U+200C and U+200D are kept (Persian, Indic scripts, emoji).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufffe\uffff]"
)
_PRINTABLE = bytes(range(0x20, 0x7F))
# The first printable one, and the last.
_BLANK, _TILDE = 0x20, 0x7E
_LEGACY_TAG = re.compile(r"<[^>]+>")
_LEGACY_DELETED = re.compile(r"[^\w\s\-.,!?;:()\[\]{}$]")
_LEGACY_DATES = (
    re.compile(
        r"\b(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})[T ](?P<H>\d{2}):(?P<M>\d{2}):(?P<S>\d{2})"
        r"(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?\b"
    ),
    re.compile(r"\b(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})\b"),
    re.compile(r"\b(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})\b"),
    re.compile(r"\b(?P<m>\d{1,2})-(?P<d>\d{1,2})-(?P<y>\d{4})\b"),
)
# Every date that is rewritten has one of these; a text without is spared four searches.
_LEGACY_DATE_HINT = re.compile(r"\d[-/]\d")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def of(name: str) -> Sanitizer:
    """Return the sanitizer of a request's ``sanitizer``."""
    return {"clean": clean, "legacy": legacy, "none": none}[name]


def each(name: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what makes of many texts what the sanitizer of that name makes of each."""
    if name == "clean":
        return cleaned
    return lambda texts: list(map(of(name), texts))


def none(text: str) -> str:
    """Return the text as it is."""
    return text


def clean(text: str) -> str:
    """Strip markup, unescape entities, drop invisible characters, collapse white space; all else stays as written."""
    if "<" in text:
        text = markup.without(text)
    if "&" in text:
        text = _ENTITY.sub(_unescaped, text)
    # Invisible characters and all white space but the blank are what isprintable() rules out, one by one: ASCII without
    # the printable ones is had in a third of the time.
    if text.encode().translate(None, _PRINTABLE) if text.isascii() else not text.isprintable():
        text = _INVISIBLE.sub("", text)
        return " ".join(text.split())
    if "  " in text or text[:1] == " " or text[-1:] == " ":
        return " ".join(text.split())
    return text


def cleaned(texts: Sequence[str]) -> Sequence[str]:
    """Return what ``clean`` makes of each text; the same ones where that is nothing else.

    Printable ASCII without markup, entities and more than single blanks is told from the rest for all texts at once.
    """
    joined = "\n".join(texts)
    if not joined.isascii() or "<" in joined or "&" in joined:
        return [clean(text) for text in texts]
    data = np.frombuffer(f"\n{joined}\n".encode(), dtype=np.uint8)
    blank = data <= _BLANK
    borders = int(np.count_nonzero(data < _BLANK)) == len(texts) + 1
    if borders and data.max() <= _TILDE and not (blank[1:] & blank[:-1]).any():
        return texts
    return [clean(text) for text in texts]


def legacy(text: str) -> str:
    """Do exactly what the predecessor did, its losses included, so that an existing index can be continued."""
    if "<" in text:
        # No tag ends after the last ">"; searching on for one there would take quadratic time.
        end = text.rfind(">") + 1
        text = _LEGACY_TAG.sub("", text[:end]) + text[end:]
    if "&" in text:
        text = html.unescape(text)
    if _LEGACY_DATE_HINT.search(text):
        for pattern in _LEGACY_DATES:
            text = pattern.sub(_spelled_out, text)
    # White space first and single characters after it: their neighbours' blanks stay two.
    return _LEGACY_DELETED.sub("", " ".join(text.split()))


def _unescaped(match: re.Match[str]) -> str:
    return html.unescape(match[0])


def _spelled_out(match: re.Match[str]) -> str:
    """January 1st, 2025 12:00:00 AM; what is no date stays as it is. The time zone is dropped, not applied."""
    parts = match.groupdict(default="0")
    try:
        moment = datetime.datetime(  # noqa: DTZ001 - a date of a text has no zone that is known
            int(parts["y"]), int(parts["m"]), int(parts["d"]),
            int(parts.get("H", 0)), int(parts.get("M", 0)), int(parts.get("S", 0)),
        )  # fmt: skip
    except ValueError:
        return match[0]
    day = f"{_MONTHS[moment.month - 1]} {moment.day}{_SUFFIXES.get(moment.day, 'th')}, {moment.year}"
    return f"{day} {moment:%I:%M:%S} {'AM' if moment.hour < 12 else 'PM'}"

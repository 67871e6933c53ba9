"""The copy of a row's text in its metadata, cut to what fits, by bytes of JSON and between two characters."""

import unicodedata

import orjson

# A cut within a longer run of marks is made all the same: it is no character that anyone reads.
_MARKS = 32
_JOINER = "\u200d"


def json_bytes(text: str) -> int:
    """Return the size of a text as a JSON string, its quotes included."""
    return len(orjson.dumps(text))


def prefix(text: str, room_bytes: int) -> str:
    """Return the longest beginning of a text that has at most so many bytes as a JSON string, its quotes included."""
    low, high = 0, min(len(text), max(0, room_bytes - 2))  # a character has a byte at least
    while low < high:
        middle = (low + high + 1) // 2
        if json_bytes(text[:middle]) <= room_bytes:
            low = middle
        else:
            high = middle - 1
    return text[: _border(text, low)]


def _border(text: str, end: int) -> int:
    """Return the last place up to ``end`` where no character as seen is torn apart (the main part of UAX 29)."""
    place = end
    while 0 < place < len(text) and end - place <= _MARKS:
        if not _belongs(text[place - 1], text[place]):
            return place
        place -= 1
    return end if place else 0


def _belongs(before: str, character: str) -> bool:
    """Tell whether a character is one with what stands before it."""
    if character.isascii():
        return before == "\r" and character == "\n"
    return (
        _JOINER in (before, character)
        or unicodedata.category(character).startswith("M")
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # colours of skin
    )

"""Text that was garbled before it came here: UTF-8 that a program took for cp1252, and wrote as UTF-8 once more."""

import re

from services.ingest import warning
from services.ingest.reading import encoding

_SHOWN_CHARACTERS = 60
_OPEN = re.compile("([\x81\x8d\x8f\x90\x9d]+)")


def found(text: str) -> warning.Warning | None:
    """Return what is to be said of a file's head that was read as UTF-8.

    The rows are loaded as they stand: only who made the file can say what they should be.
    """
    if text.isascii():
        return None
    lines = [(line, meant) for line in text.splitlines() if not line.isascii() and (meant := _meant(line))]
    if not lines:
        return None
    line, meant = (each.strip()[:_SHOWN_CHARACTERS] for each in lines[0])
    return warning.Warning(
        "garbled_text",
        f"{len(lines):,} lines of the file's first {encoding.HEAD_BYTES >> 10} KiB look as if UTF-8 had been taken for "
        f"cp1252 on its way: {line!r}, perhaps meant as {meant!r}. They are loaded as they stand; if they are garbled, "
        "make the file anew from its source.",
        count=len(lines),
    )


def _meant(line: str) -> str:
    """Return a line as it was before; empty: it is none of these.

    The letters of an ordinary line, as bytes of cp1252, are hardly ever UTF-8.
    """
    # Bytes that cp1252 leaves open come as the control characters of Latin-1.
    parts = _OPEN.split(line)
    try:
        return b"".join(
            part.encode("latin-1" if position % 2 else "cp1252") for position, part in enumerate(parts)
        ).decode()
    except UnicodeError:
        return ""

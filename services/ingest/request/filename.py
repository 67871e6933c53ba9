"""The name of an uploaded file: what a caller may call it, and what the bucket calls it."""

import unicodedata

from services.runtime import errors

LIMIT_BYTES = 1_024


def check(filename: str) -> str:
    """Return the name as it is kept: it stands in the metadata of every row.

    Raises:
        errors.InvalidArgument: It is too long, or holds what cannot be printed.
    """
    name = unicodedata.normalize("NFC", filename)  # macOS sends é as two characters
    problem = ""
    if len(name.encode()) > LIMIT_BYTES:
        problem = f"is longer than {LIMIT_BYTES:,} bytes of UTF-8; shorten it"
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        problem = f"is {name[:50]!r}, with characters that cannot be printed; leave them out"
    if problem:
        raise errors.InvalidArgument(
            f"The file's name {problem}.", violations=(errors.FieldViolation("filename", problem),)
        )
    return name


def safe(filename: str) -> str:
    """Return the last part of a name, in characters that every object store and shell bears."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    kept = "".join(character if character.isalnum() or character in "._-" else "_" for character in name)
    return kept[-200:].lstrip(".") or "upload.csv"

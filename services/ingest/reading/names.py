"""Names of columns: when two are the same, and which column a request means."""

import unicodedata


def folded(name: str) -> str:
    """Return the form in which names are compared: NFC, outer white space gone, each inner run of it one blank.

    A byte order mark is no part of a name; a no-break space is white space.
    """
    if name.isascii():
        return name if name.isalnum() else " ".join(name.split())
    return " ".join(unicodedata.normalize("NFC", name).replace("\ufeff", "").split())

"""What the vector index takes as a name, of a record (its id) or of a namespace.

Pinecone takes ASCII without NUL, up to 512 bytes
(https://docs.pinecone.io/reference/api/database-limits/identifier-limits). We take of that what can be printed: a name
that nobody can read or type is a mistake.
"""

from collections.abc import Collection

LIMIT_BYTES = 512


def is_good(name: str) -> bool:
    """Tell whether the index takes a name that is not empty."""
    return name.isascii() and name.isprintable() and len(name) <= LIMIT_BYTES


def all_good(names: Collection[str]) -> bool:
    """Tell whether the index takes each of these names."""
    joined = "".join(names)
    return joined.isascii() and joined.isprintable() and max(map(len, names), default=0) <= LIMIT_BYTES


def refused(name: str) -> str:
    """Return the first character that no name may have, quoted for people; "" where every one is good."""
    if name.isascii() and name.isprintable():
        return ""
    return next(ascii(character) if character < " " else repr(character) for character in name if not _good(character))


def problem(name: str) -> str:
    """Say what is wrong with a namespace; "" for a good one."""
    if not name.strip():
        return "is blank"
    if character := refused(name):
        return f"has {character}; Pinecone takes printable ASCII only"
    return f"is longer than {LIMIT_BYTES} bytes" if len(name) > LIMIT_BYTES else ""


def _good(character: str) -> bool:
    return " " <= character <= "~"

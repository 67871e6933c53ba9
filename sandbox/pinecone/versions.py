"""The versions of Pinecone's API that are served.

https://docs.pinecone.io/reference/api/versioning: a version is served for a year at least. A request that names none,
or one that is not served any more (or not yet), is answered as the oldest that is, without a word; only the answer's
header says by which it was served.
"""

HEADER = "x-pinecone-api-version"
SERVED = ("2025-10", "2026-01", "2026-04", "2026-07")
TYPED_SCHEMAS = "2026-07"


def served(asked: str | None) -> str:
    """Return the version that a request is answered by."""
    return asked if asked in SERVED else SERVED[0]

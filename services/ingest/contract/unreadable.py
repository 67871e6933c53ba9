"""What is said of a row that cannot be read as a record of the table."""

from services.ingest.reading import reader, shape

# By the flaw that reading found.
FLAWS = {
    reader.BAD_ENCODING: "The row has bytes outside of the file's encoding (shown as \\x..); save the file as UTF-8.",
    reader.BAD_QUOTING: (
        "The row has a quote in a cell that is not quoted, or text right after a closing quote; quote the cell, and "
        'write quotes inside of it as "". Where the file\'s quotes are characters like any other, use quoting=none; '
        'where it writes them as \\", quoting=backslash.'
    ),
    reader.FIELD_TOO_LONG: (
        f"The row has a field over {reader.FIELD_LIMIT_BYTES:,} bytes, or over {reader.RECORD_LIMIT_BYTES:,} bytes in "
        "all; shorten it."
    ),
}
SKIPPED = {
    shape.BLANK_ROW: "The row holds nothing but blanks.",
    shape.REPEATED_HEADER: "The row is the header again.",
}


def ragged(cells: int, width: int) -> str:
    """Say what is wrong with a row that is wider or narrower than the header."""
    if cells < width:
        return (
            f"The row has {cells:,} cells, the header {width:,}; look at quotes and delimiters, or use on_ragged=pad "
            "where cells that are missing at the end are empty ones."
        )
    return f"The row has {cells:,} cells, the header {width:,}; look at quotes and delimiters."

"""What is sent in place of a CSV: archives, workbooks, programs, JSON, web pages. Each is refused by its name."""

import re

from services.ingest import failures

_BINARY = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx)", "save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"PAR1\x15", "a Parquet file", "export it as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it or use gzip"),
    (b"\x1f\x8b", "gzip data packed twice", "pack it once"),
    *((b"BZh%d1AY&SY" % level, "bzip2 data", "unpack it or use gzip") for level in range(1, 10)),
    (b"\xfd7zXZ", "xz data", "unpack it or use gzip"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it or use gzip"),
    (b"\x89PNG", "an image", "send a CSV"),
    (b"\xff\xd8\xff", "an image", "send a CSV"),
    (b"\x7fELF", "a program", "send a CSV"),
)
_JSON = re.compile(r'\s*(\[\s*[\[{\]]|\{\s*("|\}))')
_HTML = re.compile(r"\s*<(!doctype\s|html\b|head\b|body\b|table\b|\?xml\b)", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def refuse_binary(head: bytes) -> None:
    """Refuse a file that begins as a known binary format does.

    Raises:
        failures.FileFailure: NOT_TEXT.
    """
    for magic, what, remedy in _BINARY:
        if head.startswith(magic):
            raise failures.FileFailure("NOT_TEXT", f"The file is {what}, not text; {remedy}.")


def refuse_controls(head: bytes) -> None:
    """Refuse bytes that are neither UTF-8 nor, by their control characters, text of another encoding.

    Raises:
        failures.FileFailure: NOT_TEXT.
    """
    if len(_CONTROLS.findall(head)) > max(4, len(head) // 20):
        raise failures.FileFailure("NOT_TEXT", "The file is full of control characters: binary, not text; send a CSV.")


def refuse_other_text(text: str) -> None:
    """Refuse JSON and web pages.

    Raises:
        failures.FileFailure: NOT_CSV.
    """
    if _JSON.match(text):
        raise failures.FileFailure("NOT_CSV", "The file is JSON, not CSV; export it as CSV with a header line.")
    if _HTML.match(text):
        raise failures.FileFailure(
            "NOT_CSV", "The file is a web page or XML, perhaps a login page saved by mistake; export the table as CSV."
        )

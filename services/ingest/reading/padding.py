"""Bytes that say nothing: NUL, and the end mark of DOS, alone on a line or at the end of a file."""

BYTES = b"\0\x1a"
_LINE_ENDS = (b"\n", b"\r\n", b"\r")


def is_blank(line: bytes) -> bool:
    """Tell whether a line is nothing at all: empty, or padding only."""
    return line in _LINE_ENDS or not line.strip(b"\0\x1a\r\n")

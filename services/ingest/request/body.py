"""The body of an upload: the file's bytes as they come, also out of a form that a browser or ``curl -F`` made of it."""

import re

import python_multipart
from python_multipart import exceptions, multipart

from services.runtime import errors

FORM = b"multipart/form-data"
# What curl says of any body unless it is told; with -d it takes the line ends out of a file, with --data-binary not.
URLENCODED = b"application/x-www-form-urlencoded"
_LINE_END = re.compile(rb"[\r\n]")
_GZIP = b"\x1f"  # its first byte is no text's
# So much without a line end is no table.
_MOST_BYTES = 1 << 20
_MOST_BOUNDARY_BYTES = 70
# What a header of a form's part begins with.
_PART = b"content-"
HOW = "Send the file itself: curl --data-binary @file.csv."


class Body:
    """A body that is the file itself, whatever its Content-Type says: what the bytes are is for the reading to tell.

    But for a form that is called something else, ``curl -F file=@file.csv -H 'Content-Type: text/csv'``: its first two
    lines are those of no table.
    """

    def __init__(self) -> None:
        # The body's beginning, while it may be that of a form.
        self._begin = b""
        self._form: Form | None = None
        self._told = False

    def file(self, piece: bytes) -> bytes:
        """Return what of the file is in the next piece of the body.

        Raises:
            errors.InvalidArgument: See Form.
        """
        if self._form is not None:
            return self._form.file(piece)
        if self._told:
            return piece
        self._begin += piece
        boundary = _boundary(self._begin)
        if boundary is None:
            return b""
        self._told = True
        begin, self._begin = self._begin, b""
        if not boundary:
            return begin
        self._form = Form(boundary)
        return self._form.file(begin)

    def finish(self) -> bytes:
        """Say that no piece follows; returns what is left of the file.

        Raises:
            errors.InvalidArgument: See Form.
        """
        return self._form.finish() if self._form is not None else self._begin


class Urlencoded(Body):
    """A body that is the file itself if it has a line end, and one that ``curl -d`` spoiled if it has none.

    Raises, from its methods:
        errors.UnsupportedMediaType: It has none.
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole = False
        self._bytes = 0

    def file(self, piece: bytes) -> bytes:
        """See Body."""
        if not self._whole:
            packed = not self._bytes and piece.startswith(_GZIP)
            self._whole = packed or _LINE_END.search(piece) is not None
            self._bytes += len(piece)
            if self._bytes > _MOST_BYTES:
                self.finish()
        return piece

    def finish(self) -> bytes:
        """See Body."""
        if self._bytes and not self._whole:
            raise errors.UnsupportedMediaType(
                f"The body is {URLENCODED.decode()} and has no line end: curl -d takes them out of a file. {HOW}"
            )
        return b""


class Form(Body):
    """A body of multipart/form-data (RFC 7578) with one file in it, taken apart as it comes.

    Args:
        boundary: What parts the form's parts.

    Raises, from its methods:
        errors.InvalidArgument: BAD_FORM: it is broken, holds no file, two of them, or a field that nothing would read.
    """

    def __init__(self, boundary: bytes) -> None:
        super().__init__()
        self._name = b""
        self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._files = 0
        self._ended = False
        self._data = bytearray()
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    def file(self, piece: bytes) -> bytes:
        """See Body."""
        try:
            self._parser.write(piece)
        except exceptions.FormParserError as error:
            raise _bad("The form is broken") from error
        data, self._data = bytes(self._data), bytearray()
        return data

    def finish(self) -> bytes:
        """See Body."""
        if not self._ended:
            raise _bad("The form ends in the middle")
        if not self._files:
            raise _bad("The form holds no file")
        return b""

    def _on_part_begin(self) -> None:
        self._disposition = {}
        self._name = self._value = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, self._disposition = multipart.parse_options_header(self._value)
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        if b"filename" not in self._disposition:
            name = self._disposition.get(b"name", b"").decode(errors="replace")[:50]
            raise _bad(f"The form has a field {name!r}; options are query parameters")
        self._files += 1
        if self._files > 1:
            raise _bad("The form holds more than one file; send one at a time")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def of(content_type: str) -> Body:
    """Return how to take the file out of a body.

    Args:
        content_type: As the caller sent it; empty: none.

    Raises:
        errors.UnsupportedMediaType: No file can be in a body of that kind.
    """
    kind, options = multipart.parse_options_header(content_type)
    if kind == URLENCODED:
        return Urlencoded()
    if kind != FORM:
        return Body()
    if not options.get(b"boundary"):
        raise errors.UnsupportedMediaType(f"The body is {FORM.decode()} and does not name its boundary. {HOW}")
    return Form(options[b"boundary"])


def _boundary(begin: bytes) -> bytes | None:
    """Return the boundary of the form that begins so (RFC 2046, section 5.1.1); empty: it is none, None: not told."""
    if begin[:2] != b"--"[: len(begin)]:
        return b""
    line, end, rest = begin.partition(b"\r\n")
    if len(line) > _MOST_BOUNDARY_BYTES + 2 or b"\n" in line:
        return b""
    if not end or len(rest) < len(_PART):
        return None if _PART.startswith(rest.lower()) else b""
    return line[2:] if rest.lower().startswith(_PART) else b""


def _bad(what: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"{what}. {HOW}", reason="BAD_FORM")

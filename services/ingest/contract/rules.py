"""By which rules rows are judged: two processes that say the same make the same of the same row.

Python's tables of Unicode decide what is a letter or a blank, and the tokenizer what is too long.
"""

import functools
import importlib.metadata
import unicodedata

# Grows with every change by which a row would be embedded or indexed otherwise than before.
VERSION = 2


@functools.cache
def version() -> str:
    """What a plan, a comparison and a manifest are made by."""
    return f"{VERSION}-unicode{unicodedata.unidata_version}-tiktoken{importlib.metadata.version('tiktoken')}"

"""Vectors without meaning, for measuring who asks for them: one of a few, chosen by the text's checksum.

A fifth of the work of real static embeddings, and of the same form: unit vectors of the asked-for width, the same for
the same text.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from sandbox.openai import catalogue, words

KEPT: Final = 251  # vectors; a prime, so that neighbouring numbers in a text spread over all of them
SEED: Final = 1


class Canned:
    """Stands in for `embeddings.Embedder`."""

    def embed(self, texts: Sequence[str], model: catalogue.Model, dimensions: int) -> words.Floats:
        """Return float32 of shape (len(texts), dimensions), each row of length 1; the model makes no difference."""
        del model
        chosen = [zlib.crc32(text.encode()) % KEPT for text in texts]
        vectors: words.Floats = _kept(dimensions)[chosen]
        return vectors


@functools.cache
def _kept(dimensions: int) -> words.Floats:
    drawn = np.random.default_rng(SEED).standard_normal((KEPT, dimensions), dtype=np.float32)
    vectors: words.Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return vectors

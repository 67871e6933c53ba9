"""Static embeddings with the dimensions of OpenAI's models: real nearness of meaning, at no cost.

A text's word vectors are summed (256 floats), put on an integer grid and spread over the model's dimensions by a fixed
orthogonal projection: side by side, Hadamard matrices whose rows have signs drawn from a hash of the model's name. All
entries are +-1 and all sums stay below 2**24, so float32 computes them exactly in whatever order: the same text has the
same bytes on every machine, under every BLAS and in every batch. (A QR decomposition would differ in the last bits.)
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from sandbox.openai import catalogue, words

GRID: Final = 32_767  # the largest coordinate before projecting: 2**15 * 256 summands stay below 2**24


class Embedder:
    """Texts in, unit vectors out. Safe for several threads; numpy and the tokenizer release the GIL."""

    def __init__(self, vocabulary: words.Words) -> None:
        self._words = vocabulary

    @classmethod
    def load(cls) -> Embedder:
        """Read the word vectors (0.2 s) and lay out the projections of all models."""
        for model in catalogue.MODELS.values():
            projection(model.name, model.dimensions)
        return cls(words.Words.load())

    def embed(self, texts: Sequence[str], model: catalogue.Model, dimensions: int) -> words.Floats:
        """Return float32 of shape (len(texts), dimensions), each row finite and of length 1.

        Cosines between texts are those of the 256-wide sums exactly where ``dimensions`` is a multiple of 256, else
        nearly. As with the real models, fewer dimensions are the beginning of the full vector, normalised again. A text
        without a known word gets a direction drawn from its hash.
        """
        sums = self._words.sums(texts)
        peaks = np.abs(sums).max(axis=1)
        for position in np.flatnonzero(peaks == 0).tolist():
            sums[position] = _drawn(texts[position])
            peaks[position] = np.abs(sums[position]).max()
        grid = np.rint(sums / peaks[:, None] * np.float32(GRID))
        vectors: words.Floats = grid @ projection(model.name, model.dimensions)[:, :dimensions]
        # Squares are whole numbers below 2**53, so these sums are exact too.
        if dimensions % words.WIDTH == 0:
            squares = np.einsum("ij,ij->i", grid, grid, dtype=np.float64) * dimensions
        else:
            squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
            vectors[squares == 0, 0] = 1.0
            squares[squares == 0] = 1.0
        vectors *= (1.0 / np.sqrt(squares)).astype(np.float32)[:, None]
        return vectors


@functools.cache
def projection(model_name: str, dimensions: int) -> words.Floats:
    """Return float32 of shape (256, dimensions) with entries +-1; ``dimensions`` is a multiple of 256.

    Its rows are orthogonal to each other and of length sqrt(dimensions): divided by that it keeps every cosine.
    """
    hadamard = np.ones((1, 1), np.float32)
    while len(hadamard) < words.WIDTH:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    blocks = []
    for block in range(dimensions // words.WIDTH):
        drawn = hashlib.shake_256(f"{model_name}/{block}".encode()).digest(words.WIDTH // 8)
        signs = np.unpackbits(np.frombuffer(drawn, np.uint8)).astype(np.float32) * 2 - 1
        blocks.append(signs[:, None] * hadamard)
    whole: words.Floats = np.ascontiguousarray(np.concatenate(blocks, axis=1))
    return whole


def _drawn(text: str) -> words.Floats:
    """Return 256 floats drawn from the hash of ``text``; never all zero (odd numbers only)."""
    digest = hashlib.shake_256(text.encode()).digest(2 * words.WIDTH)
    drawn: words.Floats = (np.frombuffer(digest, "<i2") | 1).astype(np.float32)
    return drawn

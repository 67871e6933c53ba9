"""Word vectors: what the package ``wordllama`` knows about the meaning of words, without its loader (which downloads).

A text is cut at white space. The tokens of that model never reach across a space, so the vectors of its words add up to
the vector of the text, and a word is tokenised once and then remembered: tokenising is three quarters of the cost.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import tokenizers

WIDTH: Final = 256  # floats in a word vector
LONGEST_WORD: Final = 32  # characters; longer runs without white space are cut there
CAPACITY: Final = 65_536  # words remembered, 64 MiB of vectors

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class _Page:
    """Remembered words. It only grows, and a word enters ``index`` after its row, so readers need no lock."""

    index: dict[str, int]
    vectors: Floats


class Words:
    """Sums of word vectors.

    ``weights`` is float32 of shape (vocabulary, 256), one row a token. Safe for several threads. A text's sum depends
    on the text alone: neither on its neighbours nor on what is remembered.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, weights: Floats, capacity: int = CAPACITY) -> None:
        self._tokenizer = tokenizer
        self._weights = weights
        self._capacity = capacity
        self._page = _blank(capacity)
        self._lock = threading.Lock()

    @classmethod
    def load(cls) -> Words:
        """Read tokenizer and weights (float16, 16 MB) from the installed package ``wordllama``.

        Raises ModuleNotFoundError where it is not installed.
        """
        spec = importlib.util.find_spec("wordllama")
        if spec is None or not spec.submodule_search_locations:
            message = "the stand-in takes its word vectors from the package wordllama, which is not installed"
            raise ModuleNotFoundError(message)
        root = pathlib.Path(spec.submodule_search_locations[0])
        tokenizer = tokenizers.Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        weights = safetensors.numpy.load_file(root / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
        return cls(tokenizer, weights.astype(np.float32))

    def sums(self, texts: Sequence[str]) -> Floats:
        """Return float32 of shape (len(texts), 256); the row of a text without any word is zero."""
        cut = [text.split() for text in texts]
        vocabulary: set[str] = set().union(*cut)
        if any(len(word) > LONGEST_WORD for word in vocabulary.difference(self._page.index)):
            cut = [[piece for word in words for piece in _pieces(word)] for words in cut]
            vocabulary = set().union(*cut)
        page = self._learned(vocabulary)
        row_of = page.index.__getitem__
        sums = np.zeros((len(texts), WIDTH), np.float32)
        for row, words in zip(sums, cut, strict=True):
            if words:
                # One text at a time, row after row: the order of float32 additions is part of the answer.
                np.add.reduce(page.vectors.take([*map(row_of, words)], axis=0), axis=0, out=row)
        return sums

    def _learned(self, vocabulary: set[str]) -> _Page:
        """Return a page that holds every word of ``vocabulary``; a full one is replaced, not evicted from."""
        page = self._page
        if not vocabulary.difference(page.index):
            return page
        with self._lock:
            page = self._page
            unknown = list(vocabulary.difference(page.index))
            if len(page.index) + len(unknown) > self._capacity:
                page = self._page = _blank(max(self._capacity, len(vocabulary)))
                unknown = list(vocabulary)
            first = len(page.index)
            page.vectors[first : first + len(unknown)] = self._tokenised(unknown)
            page.index.update(zip(unknown, range(first, first + len(unknown)), strict=True))
            return page

    def _tokenised(self, vocabulary: Sequence[str]) -> Floats:
        """Return the sum of the token rows of each word; words of equally many tokens go together, token by token."""
        found = [encoded.ids for encoded in self._tokenizer.encode_batch_fast(vocabulary, add_special_tokens=False)]
        positions_by_length: dict[int, list[int]] = {}
        for position, ids in enumerate(found):
            positions_by_length.setdefault(len(ids), []).append(position)
        sums = np.zeros((len(found), WIDTH), np.float32)
        for length, positions in positions_by_length.items():
            ids_by_place = np.array([found[position] for position in positions], np.intp).reshape(-1, length).T
            for ids_here in ids_by_place:
                sums[positions] += self._weights.take(ids_here, axis=0)
        return sums


def _blank(capacity: int) -> _Page:
    return _Page({}, np.empty((capacity, WIDTH), np.float32))


def _pieces(word: str) -> list[str]:
    return [word[start : start + LONGEST_WORD] for start in range(0, len(word), LONGEST_WORD)]

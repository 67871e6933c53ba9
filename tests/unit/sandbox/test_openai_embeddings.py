"""Embeddings mean something and never vary by a bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.openai import canned, catalogue, embeddings, words

SMALL = catalogue.MODELS["text-embedding-3-small"]
LARGE = catalogue.MODELS["text-embedding-3-large"]
ADA = catalogue.MODELS["text-embedding-ada-002"]
TEXTS = [
    "blond archer",
    "a hero with a bow and yellow hair",
    "annual financial report",
    "Order 4711: 3 Zählerstände, due 12/11/2024",
    "你好 世界",
    "x" * 5_000,
    " \n\t",
    "😀",
]
EMBEDDER = embeddings.Embedder.load()


def test_near_in_meaning_is_near_in_cosine() -> None:
    archer, hero, report = EMBEDDER.embed(TEXTS[:3], SMALL, 1536)
    assert archer @ hero > archer @ report + 0.1


@pytest.mark.parametrize(
    ("model", "dimensions"), [(SMALL, 1536), (SMALL, 512), (SMALL, 100), (LARGE, 3072), (ADA, 1536)]
)
def test_every_vector_is_finite_and_of_length_one(model: catalogue.Model, dimensions: int) -> None:
    vectors = EMBEDDER.embed(TEXTS, model, dimensions)
    assert vectors.shape == (len(TEXTS), dimensions)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_text_has_the_same_bytes_in_any_batch() -> None:
    batch = EMBEDDER.embed([*TEXTS, *(f"filler {n} of a batch" for n in range(500)), *TEXTS], SMALL, 1536)
    fresh = embeddings.Embedder.load()
    for position, text in enumerate(TEXTS):
        alone = fresh.embed([text], SMALL, 1536)[0].tobytes()
        assert batch[position].tobytes() == alone
        assert batch[position - len(TEXTS)].tobytes() == alone


def test_bytes_are_the_same_on_every_machine() -> None:
    """A change of this hash changes every vector that anyone has stored from the stand-in."""
    digest = hashlib.sha256(EMBEDDER.embed(TEXTS, SMALL, 1536).tobytes()).hexdigest()
    assert digest == "7899ea340a2b13fe40d672fd3226dcc377bb299c56a16bdedee8530d4b405597"


def test_a_full_word_memory_changes_no_bytes() -> None:
    loaded = words.Words.load()
    tiny = words.Words(loaded._tokenizer, loaded._weights, capacity=3)
    for text in TEXTS * 2:
        assert tiny.sums([text]).tobytes() == loaded.sums([text]).tobytes()


def test_fewer_dimensions_are_the_beginning_of_the_full_vector() -> None:
    full = EMBEDDER.embed(TEXTS, LARGE, 3072)[:, :700]
    np.testing.assert_allclose(
        EMBEDDER.embed(TEXTS, LARGE, 700), full / np.linalg.norm(full, axis=1, keepdims=True), atol=1e-6
    )


def test_cosines_are_those_of_the_word_vectors() -> None:
    sums = words.Words.load().sums(TEXTS[:6])
    units = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    for dimensions in (1536, 1024, 256):
        vectors = EMBEDDER.embed(TEXTS[:6], SMALL, dimensions)
        np.testing.assert_allclose(vectors @ vectors.T, units @ units.T, atol=1e-4)


def test_models_do_not_share_a_space() -> None:
    small, ada = EMBEDDER.embed(TEXTS, SMALL, 1536), EMBEDDER.embed(TEXTS, ADA, 1536)
    assert np.abs((small * ada).sum(axis=1)).max() < 0.3


def test_rows_of_a_projection_are_orthogonal() -> None:
    matrix = embeddings.projection(LARGE.name, LARGE.dimensions)
    assert (matrix @ matrix.T == 3072 * np.eye(256)).all()


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1), st.integers(1, 1536))
def test_any_text_has_a_unit_vector(text: str, dimensions: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # JSON cannot carry it
    assert abs(np.linalg.norm(EMBEDDER.embed([text], SMALL, dimensions)) - 1) < 1e-5


def test_canned_vectors_have_the_form_of_real_ones_and_are_the_same_for_the_same_text() -> None:
    model = catalogue.MODELS["text-embedding-3-small"]
    texts = [f"text {number}" for number in range(500)]
    vectors = canned.Canned().embed(texts, model, 1_536)
    assert (vectors.shape, vectors.dtype) == ((500, 1_536), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert len(np.unique(vectors, axis=0)) > 150
    assert np.array_equal(canned.Canned().embed(texts[::-1], model, 1_536)[::-1], vectors)

"""Nearest neighbours: exact, by one matrix product per block of the memory-mapped rows."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sandbox.pinecone import filters, metadata, store

_BLOCK_ROWS = 8_192  # 50 MB of 1536 floats
Matrix = npt.NDArray[np.float32]


def nearest(
    namespace: store.Namespace, metric: str, query: Matrix, top_k: int, predicate: filters.Predicate | None
) -> list[tuple[float, int]]:
    """Return (score, row) of the best matches, best first; equal scores in order of insertion.

    Scores are Pinecone's: cosine similarity, dot product, or the squared Euclidean distance (where less is better).
    May run in a thread.
    """
    snapshot = namespace.snapshot()
    scores = _score(snapshot, metric, query)
    rows = np.flatnonzero(snapshot.live)
    found: list[tuple[float, int]] = []
    for row in _best_first(rows, scores[rows] if metric == "euclidean" else -scores[rows], top_k, predicate is None):
        if predicate is None or predicate(metadata.decode(namespace.metadata(row))):
            found.append((float(scores[row]), row))
            if len(found) == top_k:
                break
    return found


def _score(snapshot: store.Snapshot, metric: str, query: Matrix) -> Matrix:
    scores = np.empty(len(snapshot.rows), np.float32)
    for start in range(0, len(scores), _BLOCK_ROWS):
        np.matmul(snapshot.rows[start : start + _BLOCK_ROWS], query, out=scores[start : start + _BLOCK_ROWS])
    norm = float(np.linalg.norm(query))
    if metric == "cosine":
        scores /= np.maximum(snapshot.norms * norm, np.finfo(np.float32).tiny)
        np.clip(scores, -1, 1, out=scores)
    elif metric == "euclidean":
        scores *= -2
        scores += snapshot.norms**2 + norm**2
        np.maximum(scores, 0, out=scores)
    return scores


def _best_first(rows: npt.NDArray[np.intp], costs: Matrix, top_k: int, unfiltered: bool) -> Iterator[int]:
    """Yield rows by cost; without a filter only the best need sorting."""
    if unfiltered and top_k < len(rows):
        limit = np.partition(costs, top_k - 1)[top_k - 1]
        kept = np.flatnonzero(costs <= limit)
        rows, costs = rows[kept], costs[kept]
    yield from rows[np.argsort(costs, kind="stable")].tolist()

"""Pinecone's published limits (docs.pinecone.io/reference/api/database-limits), refused in its words where known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sandbox.pinecone import errors, metadata, wire

MAX_UPSERT_BYTES = 2_097_152
MAX_UPSERT_VECTORS = 1_000
MAX_ID_BYTES = 512
MAX_NAMESPACE_CHARACTERS = 512
MAX_TOP_K = 10_000
MAX_IDS = 1_000  # of one fetch or delete
MAX_LIST = 100
MAX_FETCH_BY_METADATA = 10_000
MAX_DIMENSION = 20_000

Matrix = npt.NDArray[np.float32]


def check_upsert(upsert: wire.Upsert, dimension: int) -> Matrix:
    """Refuse an upsert that Pinecone would refuse; return its vectors as float32 of shape (count, dimension).

    A sparse index has no dimension, and refuses dense values; sparse ones the stand-in does not keep.

    Raises:
        ApiError: INVALID_ARGUMENT, or OUT_OF_RANGE for a request of over 2 MB.

    """
    if upsert.size_bytes > MAX_UPSERT_BYTES:
        raise errors.ApiError(
            errors.Code.OUT_OF_RANGE,
            f"Error, message length too large: found {upsert.size_bytes} bytes, the limit is: {MAX_UPSERT_BYTES} bytes",
        )
    if not upsert.ids:
        raise errors.invalid("No vectors provided for upsert")
    if len(upsert.ids) > MAX_UPSERT_VECTORS:
        raise errors.invalid(f"Batch size exceeds limit: found {len(upsert.ids)}, max {MAX_UPSERT_VECTORS} vectors")
    if dimension and upsert.has_sparse:
        raise errors.invalid("Index configuration does not support sparse values")
    check_namespace(upsert.namespace)
    for name in upsert.ids:
        check_id(name)
    matrix = to_matrix(upsert.ids, upsert.values, dimension)
    for raw in upsert.metadata:
        if raw:
            metadata.check(raw)
    return matrix


def to_matrix(ids: Sequence[str], values: Sequence[wire.Buffer], dimension: int) -> Matrix:
    """Join float32 bytes into a matrix; every row has the index's dimension, is finite and not all zero."""
    if not dimension:
        raise errors.invalid("Index configuration does not support dense values: sparse values are required")
    stride = 4 * dimension
    for name, item in zip(ids, values, strict=True):
        if len(item) != stride:
            if not len(item):
                raise errors.invalid(f"Vector ID '{name}' has no values: dense values are required for this index")
            check_dimension(len(item) // 4, dimension)
    matrix = np.frombuffer(b"".join(values), dtype="<f4").reshape(-1, dimension)
    squares = np.einsum("ij,ij->i", matrix, matrix)
    # A zero, infinite or NaN sum of squares may also come from tiny or huge values: such rows are looked at one by one.
    for row in np.flatnonzero(~np.isfinite(squares) | (squares == 0)).tolist():
        _check_row(ids[row], matrix[row])
    return matrix


def check_dimension(found: int, dimension: int) -> None:
    """Refuse a vector of another width."""
    if found != dimension:
        raise errors.invalid(f"Vector dimension {found} does not match the dimension of the index {dimension}")


def _check_row(name: str, row: Matrix) -> None:
    if not np.isfinite(row).all():
        raise errors.invalid(f"Vector ID '{name}' contains a value that is not finite")
    if not row.any():
        raise errors.invalid(
            f"Dense vectors must contain at least one non-zero value. Vector ID '{name}' contains only zeros"
        )


def check_id(name: str) -> None:
    """Refuse an id that is empty, over 512 bytes, or not ASCII."""
    if not name:
        raise errors.invalid("Vector ID must not be empty")
    if not name.isascii():
        raise errors.invalid(f"Vector ID must be ASCII, but got '{name}'")
    if len(name) > MAX_ID_BYTES:
        raise errors.invalid(f"Vector ID length {len(name)} exceeds the limit of {MAX_ID_BYTES} bytes")
    if "\0" in name:
        raise errors.invalid("Vector ID must not contain null characters")


def check_ids(ids: Any) -> list[str]:
    """Refuse an empty list of ids, or more than 1,000."""
    if not isinstance(ids, list) or not ids:
        raise errors.invalid("No vector IDs provided")
    if len(ids) > MAX_IDS:
        raise errors.invalid(f"Too many IDs: found {len(ids)}, max {MAX_IDS}")
    for name in ids:
        check_id(name if isinstance(name, str) else "")
    return ids


def check_namespace(name: str) -> None:
    """Refuse a namespace of over 512 characters, not ASCII or with a NUL."""
    if len(name) > MAX_NAMESPACE_CHARACTERS or not name.isascii() or "\0" in name:
        raise errors.invalid(
            f"Namespace must be at most {MAX_NAMESPACE_CHARACTERS} ASCII characters, got '{name[:40]}'"
        )


def check_range(name: str, value: Any, low: int, high: int) -> int:
    """Refuse a whole number out of its range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise errors.invalid(f"{name} must be between {low} and {high}, got {value}")
    return value

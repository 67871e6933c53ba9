"""What kind of index it is: the line writes dense vectors of one width, which not every index takes.

Since API 2026-07 an index has a schema, fixed when it is made: a vector index knows `_values` (dense) or
`_sparse_values` and nothing else to search by, a document index has fields of its own names and is written by another
API. https://docs.pinecone.io/reference/api/2026-07/control-plane/describe_index
"""

import dataclasses
from typing import Any, Final

DENSE, SPARSE = "_values", "_sparse_values"
REMEDY: Final = (
    "Set PINECONE_INDEX_NAME to an index of dense vectors (`vectorline init` makes one where there is none), or make "
    "this one anew. Tasks that wait for it then go on by themselves."
)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What an index takes: vectors of `dimension` values, or none of ours, and then `problem` is a sentence."""

    dimension: int = 0
    problem: str = ""
    metric: str = ""


def of(found: Any) -> Shape:
    """The shape of an index as Pinecone's SDK describes it (`IndexModel`)."""
    name, fields = found.name, found.schema.fields
    dimension = int(getattr(fields.get(DENSE), "dimension", None) or 0)
    if dimension:
        return Shape(dimension, metric=str(getattr(fields[DENSE], "metric", None) or ""))
    if DENSE in fields:
        why = "says no dimension"
    elif SPARSE in fields:
        why = "keeps sparse vectors"
    else:
        shown = ", ".join(sorted(fields)[:5]) or "none"
        why = f"keeps documents (its fields: {shown})"
    return Shape(problem=f"The index {name!r} {why}, and the line writes dense vectors. {REMEDY}")

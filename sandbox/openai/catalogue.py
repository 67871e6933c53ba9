"""The embedding models on offer and what each of them allows."""

from __future__ import annotations

import dataclasses
from typing import Any, Final


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One model, as ``GET /v1/models`` describes it.

    ``dimensions`` is the width of its vectors, in floats, and the largest that may be asked for.
    """

    name: str
    dimensions: int
    may_be_shortened: bool
    answers_as: str
    created: int
    owned_by: str

    def describe(self) -> dict[str, Any]:
        """Return the object that ``GET /v1/models/{id}`` answers; ``created`` is in Unix seconds."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": self.owned_by}


MODELS: Final[dict[str, Model]] = {
    model.name: model
    for model in (
        Model("text-embedding-3-small", 1536, True, "text-embedding-3-small", 1705948997, "system"),
        Model("text-embedding-3-large", 3072, True, "text-embedding-3-large", 1705953180, "system"),
        Model("text-embedding-ada-002", 1536, False, "text-embedding-ada-002-v2", 1671217299, "openai-internal"),
    )
}

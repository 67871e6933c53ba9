"""What a manifest is made of: its layers, the oldest first, and for what it holds."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, Final

from services.ingest.manifest import parts, runs, store

FORMAT: Final = 1
MOST_TASKS: Final = 100
# So many layers, or younger ones with more than a tenth of the first one's rows, are made one.
MOST_LAYERS: Final = 16
YOUNGER_PART: Final = 10


@dataclasses.dataclass(frozen=True)
class Header:
    """A version of a manifest.

    Args:
        version: Its number.
        contract: The row contract that its hashes are of.
        model: That made the vectors.
        dimension: Values a vector.
        host: Where the index was.
        known: Entries of rows that are in the index just so.
        unknown: Entries of ids that may be in the index, with whatever content.
        layers: The oldest first; of two entries with the same id the younger counts.
        tasks: That wrote it, the last hundred, the oldest first.
    """

    version: int
    contract: str
    model: str
    dimension: int
    host: str
    known: int
    unknown: int
    layers: tuple[tuple[parts.Part, ...], ...]
    tasks: tuple[str, ...] = ()
    format: int = FORMAT

    def to_json(self) -> bytes:
        """The header as it is stored."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes, checksum: str) -> "Header":
        """Read what `to_json` wrote.

        Raises:
            store.Broken: It is not what the ledger names, or of another format.
        """
        if store.checksum_of(data) != checksum:
            raise store.Broken("the header is not what was written")
        try:
            fields: dict[str, Any] = json.loads(data)
            if fields["format"] != FORMAT:
                raise store.Broken(f"the manifest is of format {fields['format']}")
            layers = tuple(tuple(map(parts.Part.from_json, layer)) for layer in fields.pop("layers"))
            return cls(layers=layers, tasks=tuple(fields.pop("tasks")), **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise store.Broken(f"the header cannot be read: {error!r}") from error

    def entries(self, objects: store.Store, *, ids: bool = False) -> Iterable[runs.Block]:
        """All entries, sorted."""
        return runs.present(runs.all_of([parts.read(objects, layer, ids=ids) for layer in self.layers]))


def crowded(layers: Iterable[Iterable[parts.Part]]) -> bool:
    """Whether layers are to be made one."""
    rows = [sum(part.rows for part in layer) for layer in layers]
    return len(rows) >= MOST_LAYERS or sum(rows[1:]) * YOUNGER_PART > rows[0]

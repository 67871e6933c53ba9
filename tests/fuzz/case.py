"""One input of the fuzzer: a file's bytes, and how to read them. Kept as a line of JSON with the bytes after it."""

import dataclasses
import datetime
import hashlib
import json
import pathlib
from typing import Any

CORPUS = pathlib.Path(__file__).parent / "corpus"


@dataclasses.dataclass(frozen=True)
class Case:
    """A file and its request."""

    # As stored; gz where the mutations made it so.
    data: bytes
    # Fields of options.Options that are not the defaults; dates in ISO form.
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Bytes that the reader takes at a time.
    block_bytes: int = 1 << 20
    # The limits of fields, records, chunks and shards are tiny, so that short inputs meet them.
    tiny: bool = False

    @property
    def chosen(self) -> dict[str, Any]:
        """The options as support.load takes them."""
        chosen = dict(self.options)
        for name in ("start_date", "end_date"):
            if name in chosen:
                chosen[name] = datetime.date.fromisoformat(chosen[name])
        for name in ("metadata_columns", "exclude_columns", "null_values", "column_types"):
            if name in chosen:
                chosen[name] = tuple(chosen[name])
        return chosen

    @property
    def name(self) -> str:
        """A name that only this input has."""
        return hashlib.blake2b(self.to_bytes(), digest_size=6).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the form in which an input is kept."""
        head = {"options": self.options, "block_bytes": self.block_bytes, "tiny": self.tiny}
        return json.dumps(head, sort_keys=True).encode() + b"\n" + self.data

    @classmethod
    def from_bytes(cls, kept: bytes) -> "Case":
        """Read what ``to_bytes`` wrote."""
        head, _, data = kept.partition(b"\n")
        return cls(data, **json.loads(head))

    def save(self, folder: pathlib.Path) -> pathlib.Path:
        """Write the input into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.to_bytes())
        return path


def kept() -> dict[str, Case]:
    """The corpus in the repository, by file name."""
    return {path.name: Case.from_bytes(path.read_bytes()) for path in sorted(CORPUS.iterdir())}

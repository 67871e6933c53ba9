"""What is found out about a source and may not be what its owner means. Said, and never held against the source."""

import dataclasses

from vectorline.v1 import warning_pb2


@dataclasses.dataclass(frozen=True)
class Warning:  # noqa: A001 (the word of the API)
    """One finding: the fields of vectorline.v1.Warning."""

    # Stable snake_case name.
    code: str
    # A sentence for people: the thing, where it stands, the remedy.
    message: str
    column: str = ""
    # The first row that it is about, 1-based; 0: none.
    row: int = 0
    # How many rows or cells it is about; 0: not counted.
    count: int = 0

    def to_proto(self) -> warning_pb2.Warning:
        """Return the message that tasks and estimates carry."""
        return warning_pb2.Warning(**dataclasses.asdict(self))

"""What was spent: a value that is added up on its way from who paid to the task's bill."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vectorline.v1 import bill_pb2


@dataclasses.dataclass(frozen=True)
class Spend:
    """Counts of what was paid for. `_doubtful` may have been paid for besides: nobody can know.

    Args:
        tokens: That the provider said it billed.
        tokens_doubtful: Of requests whose answer never came, and of processes that died before they told.
        texts_bought: Texts that the provider embedded.
        texts_reused: Rows whose text was bought with another row of the task.
        write_units: Of upserts that Pinecone confirmed.
        write_units_doubtful: Of upserts that nobody knows the end of, and of what may have been replaced.
        read_thousandths: Thousandths of a read unit: a query may cost a quarter.
    """

    tokens: int = 0
    tokens_doubtful: int = 0
    texts_bought: int = 0
    texts_reused: int = 0
    write_units: int = 0
    write_units_doubtful: int = 0
    read_thousandths: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(*(mine + others for mine, others in zip(self._counts(), other._counts(), strict=True)))

    def __bool__(self) -> bool:
        """Whether anything was spent, or saved."""
        return any(self._counts())

    def _counts(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in NAMES)

    def doubtful(self) -> "Spend":
        """The same where nobody knows whether it is in a bill already: all that would be counted twice is in doubt."""
        return Spend(
            tokens_doubtful=self.tokens + self.tokens_doubtful,
            write_units_doubtful=self.write_units + self.write_units_doubtful,
        )

    def stored(self) -> dict[Any, int]:
        """Its counts by name, without zeros."""
        return {name: count for name, count in zip(NAMES, self._counts(), strict=True) if count}

    def to_proto(self) -> bill_pb2.Spend:
        """The same as a message."""
        return bill_pb2.Spend(**self.stored())


NAMES = tuple(field.name for field in dataclasses.fields(Spend))
NOTHING = Spend()


def of_stored(item: Mapping[str, Any]) -> Spend:
    """What `stored` put among other things; what is absent is 0."""
    return Spend(*(int(item.get(name, 0)) for name in NAMES))


def of_proto(message: bill_pb2.Spend) -> Spend:
    """What a message says."""
    return Spend(*(getattr(message, name) for name in NAMES))

"""What is wanted of a line: rows a day, and how large they are."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

from cli.planning import limits, prices

MOST_ROWS: Final = 10**12
# A text's bytes for each token: what English has, and what the benchmarks' rows have.
BYTES_A_TOKEN: Final = 4
BYTES_A_VALUE: Final = 4
ID_BYTES: Final = 16


class Nonsense(ValueError):
    """A number that no line can be planned for; says which, and within which limits it must lie."""


@dataclasses.dataclass(frozen=True)
class Demand:
    """One day of a line.

    Args:
        rows_per_day: Rows that are loaded.
        tokens: Of a row's text, on average.
        values: Of a vector.
        metadata_bytes: Of a row, as JSON, without the text's copy.
        hours: In how many hours of the day they must be in the index.
        unchanged_percent: Rows that are in the index just so, and are skipped.
        replaced_percent: Of the rows that are written, those that replace a record.
        stored_rows: Records that are kept; None: those that a month adds.
        searches_per_day: Searches.
        namespaces: Among which rows are spread evenly.
        model: The embedding model.
        tier: Usage tier at OpenAI; None: the lowest that suffices.
    """

    rows_per_day: int
    tokens: float = 64
    values: int = 1_536
    metadata_bytes: int = 1_000
    hours: float = 24.0
    unchanged_percent: float = 0.0
    replaced_percent: float = 0.0
    stored_rows: int | None = None
    searches_per_day: int = 0
    namespaces: int = 1
    model: str = "text-embedding-3-small"
    tier: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no number of rows, tokens, hours and so on.

        Raises:
            Nonsense: One of them lies outside of its limits.
        """
        within = {
            "rows_per_day": (0, MOST_ROWS),
            "tokens": (1, limits.TOKENS_AN_INPUT),
            "values": (1, limits.VALUES_A_VECTOR),
            "metadata_bytes": (0, limits.METADATA_BYTES),
            "hours": (0.1, 24),
            "unchanged_percent": (0, 100),
            "replaced_percent": (0, 100),
            "stored_rows": (0, MOST_ROWS),
            "searches_per_day": (0, MOST_ROWS),
            "namespaces": (1, limits.NAMESPACES),
            "tier": (1, max(limits.TIERS)),
        }
        for name, (least, most) in within.items():
            given = getattr(self, name)
            if given is not None and not (math.isfinite(given) and least <= given <= most):
                raise Nonsense(f"{name} must be {least:,} to {most:,}, and is {given}.")
        if self.model not in prices.TABLE or not self.model.startswith("text-"):
            known = ", ".join(name for name in prices.TABLE if name.startswith("text-"))
            raise Nonsense(f"model must be one of {known}, whose prices are known, and is {self.model}.")

    @property
    def rows_per_second(self) -> float:
        """Rows that must pass in a second, all of them read."""
        return self.rows_per_day / (self.hours * 3_600)

    @property
    def written_per_day(self) -> float:
        """Rows that are bought and written."""
        return self.rows_per_day * (1 - self.unchanged_percent / 100)

    @property
    def written_per_second(self) -> float:
        """The same in a second of the hours they have."""
        return self.written_per_day / (self.hours * 3_600)

    @property
    def tokens_per_day(self) -> float:
        """Tokens that are bought."""
        return self.written_per_day * self.tokens

    @property
    def tokens_per_minute(self) -> float:
        """The same in a minute of the hours they have."""
        return self.tokens_per_day / (self.hours * 60)

    @property
    def record_bytes(self) -> int:
        """Of a record at Pinecone: id, values, metadata. The text's copy is part of the metadata that is given."""
        return ID_BYTES + self.values * BYTES_A_VALUE + self.metadata_bytes

    @property
    def row_bytes(self) -> float:
        """Of a row in its file."""
        return ID_BYTES + self.tokens * BYTES_A_TOKEN + self.metadata_bytes

    @property
    def kept_rows(self) -> float:
        """Records in the index after a month."""
        if self.stored_rows is not None:
            return self.stored_rows
        return self.written_per_day * (1 - self.replaced_percent / 100) * prices.DAYS_A_MONTH

    @property
    def write_units_per_day(self) -> float:
        """Pinecone's: of each upsert as it is packed, and of what it replaces."""
        upsert = limits.rows_an_upsert(self.record_bytes)
        units = max(limits.LEAST_WRITE_UNITS, math.ceil(upsert * self.record_bytes / limits.UNIT_BYTES)) / upsert
        replaced = self.replaced_percent / 100 * self.record_bytes / limits.UNIT_BYTES
        return self.written_per_day * (units + replaced)

    @property
    def read_units_per_day(self) -> float:
        """Pinecone's: of each search, by the size of its namespace."""
        gigabytes = self.kept_rows * self.record_bytes / self.namespaces / 1e9
        return self.searches_per_day * max(limits.LEAST_READ_UNITS, gigabytes)

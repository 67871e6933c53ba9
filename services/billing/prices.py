"""Prices by dated tables: what a token or a unit cost on a day."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic

from services.runtime import settings

MILLION = 1_000_000

Dollars = Annotated[float, pydantic.Field(ge=0)]
# US dollars a million: one price for all days, or by the day (UTC) from which each holds.
Price = Dollars | dict[datetime.date, Dollars]
Unit = Literal["write_units", "read_units"]


@dataclasses.dataclass(frozen=True)
class Prices:
    """What was configured; a price that is not known is None.

    Args:
        openai: US dollars a million tokens, by model.
        pinecone: US dollars a million units, by unit.
    """

    openai: Mapping[str, Price] = dataclasses.field(default_factory=dict)
    pinecone: Mapping[Unit, Price] = dataclasses.field(default_factory=dict)

    def of_tokens(self, tokens: float, model: str, day: datetime.date) -> float | None:
        """US dollars for tokens of a model."""
        price = _on(self.openai.get(model), day)
        return None if price is None else tokens * price / MILLION

    def of_units(self, write_units: float, read_units: float, day: datetime.date) -> float | None:
        """US dollars for units of Pinecone; None when one that was used has no price."""
        used: tuple[tuple[Unit, float], ...] = (("write_units", write_units), ("read_units", read_units))
        dollars = 0.0
        for unit, count in used:
            price = _on(self.pinecone.get(unit), day)
            if price is None and count:
                return None
            dollars += count * (price or 0.0) / MILLION
        return dollars


def _on(price: Price | None, day: datetime.date) -> float | None:
    if not isinstance(price, dict):
        return price
    since = max((each for each in price if each <= day), default=None)
    return None if since is None else price[since]


class PriceSettings(settings.Section):
    """What tokens and units cost."""

    # https://platform.openai.com/docs/pricing
    openai_prices: dict[str, Price] = pydantic.Field(
        {"text-embedding-3-small": 0.02, "text-embedding-3-large": 0.13, "text-embedding-ada-002": 0.1},
        description="US dollars a million tokens by model, as JSON: a price, or prices by the day each holds from.",
    )
    # https://www.pinecone.io/pricing: Standard, AWS us-east-1.
    pinecone_prices: dict[Unit, Price] = pydantic.Field(
        {"write_units": 4.0, "read_units": 16.0},
        description="US dollars a million write_units and read_units, as JSON like OPENAI_PRICES.",
    )

    @property
    def prices(self) -> Prices:
        """The same as the domain wants it."""
        return Prices(self.openai_prices, self.pinecone_prices)

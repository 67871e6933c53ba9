"""What the line costs as it goes, in dollars: the day's books by the dated tables of prices."""

import datetime

import prometheus_client

from services.billing import prices, spend, units
from services.indexer.ledger import days

DOLLARS = prometheus_client.Counter(
    "vectorline_dollars",
    "US dollars for tokens (openai) and units (pinecone), of the prices that are set, without what is in doubt.",
    ["provider"],
)
for _provider in ("openai", "pinecone"):
    DOLLARS.labels(_provider)


class Costs:
    """Counts what the books of the days are told."""

    def __init__(self, known: prices.Prices) -> None:
        self._prices = known

    def count(self, day: datetime.date, account: days.Account, spent: spend.Spend) -> None:
        """Add it up. What has no price costs nothing here."""
        tokens = self._prices.of_tokens(spent.tokens, account.model, day)
        written_and_read = self._prices.of_units(spent.write_units, spent.read_thousandths / units.WHOLE, day)
        DOLLARS.labels("openai").inc(tokens or 0.0)
        DOLLARS.labels("pinecone").inc(written_and_read or 0.0)

"""Dollars as a metric: what the books of the days are told, by the tables of prices."""

import datetime

import prometheus_client
import pytest

from services.billing import prices, spend
from services.indexer.ledger import days
from services.indexer.tasks import costs
from tests.support import ledgers

DAY = datetime.date(2026, 11, 30)


def dollars(provider: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value("vectorline_dollars_total", {"provider": provider}) or 0.0


def test_what_the_books_are_told_is_counted_by_the_price_of_its_day() -> None:
    line = ledgers.line()
    known = prices.Prices(
        {"small": {datetime.date(2026, 1, 1): 0.1, datetime.date(2026, 12, 1): 9.0}},
        {"write_units": 4.0, "read_units": 16.0},
    )
    line.book.spending.days.told = costs.Costs(known).count
    before = dollars("openai"), dollars("pinecone")

    spent = spend.Spend(tokens=2_000_000, tokens_doubtful=10**9, write_units=500_000, read_thousandths=250_000_000)
    line.book.spending.searched(days.Account("ann", "v2", "small"), spent)
    line.book.spending.days.add(DAY, days.Account("ann", "v2", "small"), spend.NOTHING)

    assert dollars("openai") == pytest.approx(before[0] + _tokens_on(line, known))
    assert dollars("pinecone") == pytest.approx(before[1] + 2.0 + 4.0)


def _tokens_on(line: ledgers.Line, known: prices.Prices) -> float:
    """The ledger's clock is the test's own."""
    found = known.of_tokens(2_000_000, "small", line.book.clock.now().date())
    assert found
    return found


def test_what_has_no_price_costs_nothing() -> None:
    before = dollars("openai"), dollars("pinecone")

    costs.Costs(prices.Prices()).count(DAY, days.Account("ann", "v2", "own"), spend.Spend(tokens=10, write_units=10))

    assert (dollars("openai"), dollars("pinecone")) == before

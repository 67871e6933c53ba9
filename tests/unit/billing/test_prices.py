"""What a token or a unit costs on a day."""

import datetime

import pytest

from services.billing import bill, prices, spend
from services.runtime import settings

DAY = datetime.date(2026, 11, 30)


def configured(monkeypatch: pytest.MonkeyPatch, **variables: str) -> prices.Prices:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.load(prices.PriceSettings).prices


def test_a_price_holds_from_its_day_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    known = configured(monkeypatch, OPENAI_PRICES='{"small": {"2026-01-01": 0.02, "2026-11-30": 0.01}, "large": 0.13}')
    assert known.of_tokens(1e6, "small", DAY) == pytest.approx(0.01)
    assert known.of_tokens(1e6, "small", DAY - datetime.timedelta(days=1)) == pytest.approx(0.02)
    assert known.of_tokens(1e6, "large", datetime.date(1999, 1, 1)) == pytest.approx(0.13)


def test_what_has_no_price_has_no_dollars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a day before the first price nobody knows one; 0 would be a lie."""
    known = configured(
        monkeypatch, OPENAI_PRICES='{"small": {"2026-12-01": 0.02}}', PINECONE_PRICES='{"write_units": 4}'
    )
    assert known.of_tokens(1e6, "small", DAY) is None
    assert known.of_tokens(1e6, "other", DAY) is None
    assert known.of_units(1e6, 0, DAY) == pytest.approx(4.0)
    assert known.of_units(1e6, 1, DAY) is None
    made = bill.message(spend.Spend(tokens=7, read_thousandths=250), "small", DAY, known)
    assert (made.HasField("openai_dollars"), made.HasField("pinecone_dollars")) == (False, False)
    assert made.read_units == 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_PRICES", '{"small": -1}'),
        ("OPENAI_PRICES", '{"small": {"November": 1}}'),
        ("PINECONE_PRICES", '{"storage": 0.33}'),
        ("PINECONE_PRICES", "4"),
    ],
)
def test_a_wrong_table_stops_the_process_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        configured(monkeypatch, **{name: value})
    assert name in capsys.readouterr().err


def test_a_bill_says_what_it_may_have_come_to_only_where_that_is_not_known() -> None:
    known = prices.Prices({"small": 0.02}, {"write_units": 4.0, "read_units": 16.0})
    spent = spend.Spend(tokens=1_000_000, write_units=500_000, read_thousandths=1_000, texts_bought=3, texts_reused=2)
    exact = bill.message(spent, "small", DAY, known)
    assert not exact.HasField("at_most")
    assert exact.openai_dollars == pytest.approx(0.02)
    assert exact.pinecone_dollars == pytest.approx(2.0 + 16e-6)
    assert (exact.texts_bought, exact.texts_reused, exact.read_units) == (3, 2, 1)
    doubted = bill.message(spent + spend.Spend(write_units_doubtful=500_000), "small", DAY, known)
    assert doubted.write_units == 500_000
    assert (doubted.at_most.write_units, doubted.at_most.tokens) == (1_000_000, 1_000_000)
    assert doubted.at_most.pinecone_dollars == pytest.approx(4.0 + 16e-6)


def test_a_spend_is_the_same_after_a_message_and_after_the_table() -> None:
    spent = spend.Spend(1, 2, 3, 4, 5, 6, 7)
    assert spend.of_proto(spent.to_proto()) == spent
    assert spend.of_stored({"kind": "task", **spent.stored()}) == spent
    assert spend.NOTHING.stored() == {}

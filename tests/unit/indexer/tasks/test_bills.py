"""What operators are shown of what was spent."""

import datetime

import pytest
from vectorline.v1 import monitoring_pb2

from services.billing import prices, spend
from services.indexer import settings
from services.indexer.ledger import days
from services.indexer.tasks import bills, monitoring
from services.indexer.tasks import servicer as task_servicer
from services.runtime import errors, identity
from tests.support.ledgers import Line

KNOWN = prices.Prices({"small": 0.02}, {"write_units": 4.0, "read_units": 16.0})
NOW = datetime.datetime(2026, 11, 30, 1, tzinfo=datetime.UTC)


def views_of(line: Line) -> monitoring.MonitoringServicer:
    rules = settings.LedgerSettings()
    return monitoring.MonitoringServicer(task_servicer.TaskServicer(line.book, rules, KNOWN), line.book, rules)


async def spent(line: Line) -> datetime.date:
    """Two keys, two namespaces, two models, on two days; answers the second day."""
    book, million = line.book.spending, spend.Spend(tokens=1_000_000)
    book.searched(days.Account("ann", "v2", "small"), million)
    line.time.pass_by(24 * 3_600)
    book.searched(days.Account("ann", "v2", "small"), million)
    book.searched(days.Account("ann", "v2", "small"), spend.Spend(write_units=1_000_000, write_units_doubtful=500_000))
    book.searched(days.Account("ann", "other", "new-model"), million)
    book.searched(days.Account("bob", "v2", "small"), million)
    await book.flush()
    return line.book.clock.now().date()


async def asked(line: Line, hours: int | None = None) -> monitoring_pb2.BillOverview:
    context = None
    return await views_of(line).GetBill(monitoring_pb2.GetBillRequest(hours=hours), context)  # type: ignore[arg-type]


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "current", lambda: identity.Caller("root", frozenset({"admin"})))


@pytest.mark.usefixtures("admin")
async def test_the_bill_is_by_day_key_and_namespace(line: Line) -> None:
    today = await spent(line)
    told = await asked(line)
    assert [(each.day, each.client, each.namespace, each.bill.tokens) for each in told.entries] == [
        (today.isoformat(), "ann", "other", 1e6),
        (today.isoformat(), "ann", "v2", 1e6),
        (today.isoformat(), "bob", "v2", 1e6),
        ((today - datetime.timedelta(days=1)).isoformat(), "ann", "v2", 1e6),
    ]
    ann = told.entries[1].bill
    assert (ann.openai_dollars, ann.pinecone_dollars) == (pytest.approx(0.02), pytest.approx(4.0))
    assert ann.at_most.pinecone_dollars == pytest.approx(6.0)
    assert told.total.tokens == 4e6
    assert told.total.at_most.write_units == 1_500_000
    # Of one model nobody knows the price: a sum without it would be a lie.
    assert not told.entries[0].bill.HasField("openai_dollars")
    assert not told.total.HasField("openai_dollars")
    assert told.total.pinecone_dollars == pytest.approx(4.0)


async def test_a_caller_sees_what_its_own_key_spent(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    await spent(line)
    monkeypatch.setattr(identity, "current", lambda: identity.Caller("bob", frozenset({"read"})))
    told = await asked(line)
    assert [each.client for each in told.entries] == ["bob"]
    assert told.total.tokens == 1e6


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("hours", [0, 745])
async def test_hours_have_bounds(line: Line, hours: int) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await asked(line, hours)
    assert caught.value.violations[0].field == "hours"


@pytest.mark.usefixtures("admin")
async def test_nothing_spent_is_a_bill_of_nothing(line: Line) -> None:
    told = await asked(line, 744)
    assert not told.entries
    assert (told.total.tokens, told.total.openai_dollars, told.total.pinecone_dollars) == (0, 0, 0)


def test_the_days_are_those_that_the_hours_touch() -> None:
    assert bills.days_of(NOW, 1) == [datetime.date(2026, 11, 30)]
    assert bills.days_of(NOW, 2) == [datetime.date(2026, 11, 29), datetime.date(2026, 11, 30)]
    assert len(bills.days_of(NOW, 744)) == 32

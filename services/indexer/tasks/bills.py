"""What was spent, as operators look at it: by day, key and namespace."""

import datetime
import itertools
from collections.abc import Sequence

from vectorline.v1 import monitoring_pb2

from services.billing import bill, prices
from services.indexer.ledger import days


def days_of(now: datetime.datetime, hours: int) -> list[datetime.date]:
    """The days (UTC) that the last hours touch, oldest first."""
    first, last = (now - datetime.timedelta(hours=hours)).date(), now.date()
    return [first + datetime.timedelta(days=number) for number in range((last - first).days + 1)]


def overview(sums: Sequence[days.Sum], hours: int, client: str, known: prices.Prices) -> monitoring_pb2.BillOverview:
    """Sums with their dollars, newest day first.

    Args:
        sums: By day and account, ordered.
        hours: That were looked back.
        client: Only what this key spent; empty: everybody.
        known: The prices.
    """
    own = (each for each in sums if client in ("", each.account.client))
    entries = [
        monitoring_pb2.BillEntry(
            day=day.isoformat(),
            client=key,
            namespace=namespace,
            bill=bill.total(bill.message(each.spent, each.account.model, day, known) for each in group),
        )
        for (day, key, namespace), group in itertools.groupby(own, _place)
    ]
    entries.sort(key=lambda entry: entry.day, reverse=True)
    return monitoring_pb2.BillOverview(hours=hours, entries=entries, total=bill.total(each.bill for each in entries))


def _place(found: days.Sum) -> tuple[datetime.date, str, str]:
    return found.day, found.account.client, found.account.namespace

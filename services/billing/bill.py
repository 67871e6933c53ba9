"""The public bill of a spend."""

import datetime
from collections.abc import Iterable
from typing import Literal

from vectorline.v1 import bill_pb2

from services.billing import prices, spend, units

Dollars = Literal["openai_dollars", "pinecone_dollars"]
DOLLARS: tuple[Dollars, ...] = ("openai_dollars", "pinecone_dollars")


def message(spent: spend.Spend, model: str, day: datetime.date, known: prices.Prices) -> bill_pb2.Bill:
    """A spend with its dollars.

    Args:
        spent: What was spent, or would be.
        model: The embedding model of its tokens.
        day: The day (UTC) whose prices hold.
        known: The prices.
    """
    read_units = spent.read_thousandths / units.WHOLE
    bill = bill_pb2.Bill(
        tokens=spent.tokens,
        openai_dollars=known.of_tokens(spent.tokens, model, day),
        write_units=spent.write_units,
        read_units=read_units,
        pinecone_dollars=known.of_units(spent.write_units, read_units, day),
        texts_bought=spent.texts_bought,
        texts_reused=spent.texts_reused,
    )
    if spent.tokens_doubtful or spent.write_units_doubtful:
        tokens = spent.tokens + spent.tokens_doubtful
        write_units = spent.write_units + spent.write_units_doubtful
        bill.at_most.CopyFrom(
            bill_pb2.BillBound(
                tokens=tokens,
                openai_dollars=known.of_tokens(tokens, model, day),
                write_units=write_units,
                pinecone_dollars=known.of_units(write_units, read_units, day),
            )
        )
    return bill


def total(bills: Iterable[bill_pb2.Bill]) -> bill_pb2.Bill:
    """Bills added up; dollars are absent where one of them has none."""
    added = bill_pb2.Bill(openai_dollars=0.0, pinecone_dollars=0.0)
    most = bill_pb2.BillBound(openai_dollars=0.0, pinecone_dollars=0.0)
    for each in bills:
        for name in ("tokens", "write_units", "read_units", "texts_bought", "texts_reused"):
            setattr(added, name, getattr(added, name) + getattr(each, name))
        bound = each.at_most if each.HasField("at_most") else each
        for name in ("tokens", "write_units"):
            setattr(most, name, getattr(most, name) + getattr(bound, name))
        for dollars in DOLLARS:
            _add_dollars(added, each, dollars)
            _add_dollars(most, bound, dollars)
    if (most.tokens, most.write_units) != (added.tokens, added.write_units):
        added.at_most.CopyFrom(most)
    return added


def _add_dollars(
    added: bill_pb2.Bill | bill_pb2.BillBound, each: bill_pb2.Bill | bill_pb2.BillBound, name: Dollars
) -> None:
    if added.HasField(name) and each.HasField(name):
        setattr(added, name, getattr(added, name) + getattr(each, name))
    else:
        added.ClearField(name)

"""In which order a column writes day, month and year: its own cells decide, over the whole file.

A cell that can be read in one order only (25/04/2024) proves that order for all. Where no cell does, dates with dots
are day first; others stay open, and so do those where cells prove different orders. An open order is a fault only where
something depends on it.
"""

import itertools
import re
from collections.abc import Callable, Sequence

from services.ingest.contract import moments
from services.ingest.request import options

# What a date means for whatever it is asked for, in an order.
Meaning = Callable[[moments.Written, str], object]
# Number (1-based) and cell of a row.
Row = tuple[int, str]

_DAY_FIRST = "dmy"
_SEPARATOR = "\x1f"
# Cells that a glance shows to have their year first, or to be empty.
_YEAR_FIRST = re.compile(r"(?>(?:[0-9]{4}[-/.][^\x1f]*+)?\x1f)*+")
# Orders in which a cell can be read, by whether it is a day in each; and each two of them.
_CAN = {known: tuple(itertools.compress(moments.ORDERS, known)) for known in itertools.product((False, True), repeat=3)}
_PAIRS = {can: tuple(itertools.combinations(can, 2)) for can in _CAN.values()}
WORDS = {"ymd": "year, month, day", "mdy": "month, day, year", "dmy": "day, month, year"}


def asked(chosen: options.Options) -> tuple[str, ...]:
    """Return the orders that a request leaves possible."""
    return moments.ORDERS if chosen.date_order == "auto" else (chosen.date_order,)


def in_words(orders: Sequence[str]) -> str:
    """Say in which orders a date was looked for."""
    return f" in the order {', or '.join(WORDS[order] for order in orders)}"


class Evidence:
    """Gathers what a column says of its order.

    Args:
        meaning: Two orders differ for a cell where this differs.
    """

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        # Orders in which all cells, and any cell, can be read.
        self._all = set(moments.ORDERS)
        self._any: set[str] = set()
        self._dots_only = True
        self._proofs: dict[str, Row] = {}
        # The first row of which two orders make different days, and what is more, different meanings.
        self.doubtful: Row | None = None
        self._differing: dict[tuple[str, str], Row] = {}

    def add(self, cells: Sequence[str], numbers: Sequence[int]) -> None:
        """Look at cells and the numbers of their rows."""
        joined = _SEPARATOR.join(cells) + _SEPARATOR
        if _YEAR_FIRST.fullmatch(joined):
            return
        for cell, number in zip(cells, numbers, strict=True):
            written = moments.read(cell)
            if written is not None and not written.plain:
                self._look(written, (number, cell))

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders that are still possible: one, where it is decided; each row is read in the first that it can."""
        if not self._any:
            return moments.ORDERS
        if self._dots_only and _DAY_FIRST in self._all:
            return (_DAY_FIRST,)
        # Without an order for all of them, each cell is read as it can be.
        possible = self._all or self._any
        return tuple(order for order in moments.ORDERS if order in possible)

    @property
    def unclear(self) -> Row | None:
        """The first row that means different things in the orders that are possible; None: nothing hangs on it."""
        rows = [self._differing.get(pair) for pair in _PAIRS[self.orders]]
        return min(filter(None, rows), default=None)

    @property
    def contradicted(self) -> tuple[Row, ...]:
        """Rows of which each proves another order; none: no two do."""
        return () if self._all else tuple(sorted(self._proofs.values()))

    @property
    def proof(self) -> Row | None:
        """The row that proves the order; None: it is not proved."""
        return self._proofs.get(next(iter(self._all))) if len(self._all) == 1 else None

    def _look(self, written: moments.Written, row: Row) -> None:
        can = _CAN[written.days[0] is not None, written.days[1] is not None, written.days[2] is not None]
        self._any.update(can)
        self._dots_only &= written.dotted
        narrowed = self._all.intersection(can)
        if len(can) == 1 or (len(narrowed) == 1 < len(self._all)):
            self._proofs.setdefault(can[0] if len(can) == 1 else next(iter(narrowed)), row)
        self._all = narrowed
        for pair in _PAIRS[can]:
            if pair in self._differing:
                continue
            if self.doubtful is None and len({written.days[moments.ORDERS.index(order)] for order in pair}) > 1:
                self.doubtful = row
            if self._meaning(written, pair[0]) != self._meaning(written, pair[1]):
                self._differing[pair] = row

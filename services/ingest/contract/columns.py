"""What a scan finds out of the columns over all rows: their types, the order of their dates, and what to warn of."""

import dataclasses
from collections.abc import Mapping, Sequence

from services.ingest import failures, warning
from services.ingest.contract import column_types, date_orders, dates, declared, metadata, moments, nulls
from services.ingest.request import options

# More columns of text that are meant as numbers are not listed one by one.
_LISTED = 20
_SHOWN_CHARACTERS = 40
_SHOWN_NAME_CHARACTERS = 100

Orders = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Found:
    """What the rows say."""

    # Of each column: string, number or boolean, or what is declared.
    types: tuple[str, ...]
    # By column whose dates matter: in which orders they may stand. None where the request says it.
    date_orders: Orders
    warnings: tuple[warning.Warning, ...]


@dataclasses.dataclass(frozen=True)
class SoFar:
    """What the rows up to one say: the same, but "" for the type of a column that has no value yet."""

    types: tuple[str, ...]
    date_orders: Orders

    @property
    def assumed(self) -> tuple[str, ...]:
        """The types, one for each column."""
        return tuple(kind or column_types.STRING for kind in self.types)

    def holds(self, types: Sequence[str], orders: Orders) -> bool:
        """Tell whether these rows are judged by what all rows say as they were by this."""
        same = all(kind in ("", found) for kind, found in zip(self.types, types, strict=True))
        return same and self.date_orders == orders


class Unsettled(Exception):
    """Rows were taken by the dates in an order that later ones disprove: read them again with the one that holds."""

    def __init__(self, orders: Orders) -> None:
        super().__init__(orders)
        self.orders = orders


class Columns:
    """The columns of one source, as blocks of its rows pass by.

    Args:
        names: Of the columns.
        chosen: The request.
        settled: The order of dates, by column, as a pass before this one found it out.
    """

    def __init__(self, names: Sequence[str], chosen: options.Options, settled: Orders | None = None) -> None:
        self._names = names
        self._chosen = chosen
        self._settled = settled
        self._declared = declared.of(names, chosen)
        self._types = column_types.Types(len(names), self._declared, nulls.of(chosen))
        self._filter = dates.of(names, chosen, settled)
        self._evidence = self._gathered()
        # Orders in which rows were taken or left whose day depends on it.
        self._used: set[tuple[str, ...]] = set()

    def _gathered(self) -> dict[int, date_orders.Evidence]:
        """What is to be found out of the order of dates: the filter's, and those that become timestamps."""
        if self._chosen.date_order != "auto":
            return {}
        zone = moments.zone(self._chosen.time_zone)
        found = {}
        if self._filter is not None:
            found[self._filter.position] = date_orders.Evidence(_membership(self._filter))
        kept = set(metadata.columns_of(self._names, self._chosen))
        for position, kind in self._declared.items():
            if kind.kind == "timestamp" and position in kept:
                found[position] = date_orders.Evidence(lambda written, order: written.seconds(order, zone))
        return found

    @property
    def dated(self) -> bool:
        """Rows are filtered by their dates."""
        return self._filter is not None

    def add(self, rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
        """Look at rows, each as wide as the header, and their numbers (1-based)."""
        self._types.add(rows, numbers)
        for position, evidence in self._evidence.items():
            evidence.add([row[position] for row in rows], numbers)
        if self._filter is not None and self._settled is None and self._filter.position in self._evidence:
            orders = self._evidence[self._filter.position].orders
            if orders != self._filter.orders:
                self._filter = dataclasses.replace(self._filter, orders=orders)

    def within_dates(self, row: Sequence[str]) -> bool:
        """Tell whether the date filter takes a row that was added; to be confirmed by ``found``."""
        if self._filter is None:
            return True
        written = moments.read(row[self._filter.position])
        if written is None:
            return False
        if not written.plain:
            self._used.add(self._filter.orders)
        day = self._filter.day_of(written)
        return day is not None and self._filter.takes(day)

    def found(self) -> Found:
        """Return what all rows say.

        Raises:
            failures.FileFailure: DATE_ORDER_UNCLEAR.
            Unsettled: What ``within_dates`` told was not all true; it is with these orders.
        """
        for position, evidence in self._evidence.items():
            if evidence.unclear is not None:
                raise _unclear(self._names[position], evidence)
        orders = self._orders()
        if self._filter is not None and self._settled is None and self._used - {self._filter.orders}:
            raise Unsettled(orders)
        types = self._types.result()
        types = tuple(
            str(self._declared[position]) if position in self._declared else kind for position, kind in enumerate(types)
        )
        return Found(types, orders, tuple(self._warnings()))

    def so_far(self) -> SoFar:
        """Return what the rows up to now say."""
        types = tuple(
            str(self._declared[position]) if position in self._declared else kind
            for position, kind in enumerate(self._types.seen())
        )
        return SoFar(types, self._orders())

    def _orders(self) -> Orders:
        return {
            self._names[position]: evidence.orders
            for position, evidence in self._evidence.items()
            if evidence.orders != moments.ORDERS
        }

    def _warnings(self) -> list[warning.Warning]:
        made = [
            _inferred(self._names[position], evidence)
            for position, evidence in self._evidence.items()
            if evidence.doubtful is not None and len(evidence.orders) == 1
        ]
        if self._chosen.metadata == "legacy":
            return made
        kept = set(metadata.columns_of(self._names, self._chosen))
        spoiled = [each for each in self._types.spoiled() if each.position in kept]
        made += [_is_text(self._names[each.position], each) for each in spoiled[:_LISTED]]
        if more := spoiled[_LISTED:]:
            message = f"So are {len(more):,} more columns; see the types of the columns in an estimate."
            made.append(warning.Warning("column_is_text", message, count=len(more)))
        return made


def _membership(filtered: dates.Filter) -> date_orders.Meaning:
    def taken(written: moments.Written, order: str) -> bool | None:
        day = written.day(order, filtered.zone)
        return None if day is None else filtered.takes(day)

    return taken


def _unclear(name: str, evidence: date_orders.Evidence) -> failures.FileFailure:
    row, cell = evidence.unclear or (0, "")
    said = " or ".join(date_orders.WORDS[order] for order in evidence.orders)
    if evidence.contradicted:
        proofs = " and ".join(f"row {number:,} has {_shown(value)}" for number, value in evidence.contradicted)
        why = f"the column proves more than one order ({proofs})"
    else:
        why = "no cell of the column shows which"
    return failures.FileFailure(
        "DATE_ORDER_UNCLEAR",
        f"The dates of column {_named(name)!r} may be {said}: {why}, and {_shown(cell)} in row {row:,} depends on it; "
        f"say which by date_order={'|'.join(evidence.orders)}, or write YYYY-MM-DD.",
    )


def _inferred(name: str, evidence: date_orders.Evidence) -> warning.Warning:
    order = evidence.orders[0]
    if evidence.proof is not None:
        row, cell = evidence.proof
        why = f"{_shown(cell)} in row {row:,} cannot be read otherwise"
    else:
        row = (evidence.doubtful or (0, ""))[0]
        why = "dates with dots are, where no cell shows another order"
    read = date_orders.WORDS[order]
    return warning.Warning(
        "date_order_inferred",
        f"The dates of column {_named(name)!r} are read as {read}: {why}. Set date_order to settle it.",
        column=_named(name),
        row=row,
    )


def _is_text(name: str, spoiled: column_types.Spoiled) -> warning.Warning:
    what = "is not written like the numbers before it" if spoiled.other_form else "is no number"
    return warning.Warning(
        "column_is_text",
        f"Column {_named(name)!r} is text because of {_shown(spoiled.cell)} in row {spoiled.row:,}, which {what}; if "
        f"its values are numbers, say {_named(name)}:number in column_types; name cells that mean no value in "
        "null_values.",
        column=_named(name),
        row=spoiled.row,
    )


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _SHOWN_CHARACTERS else f"{cell[:_SHOWN_CHARACTERS]}…")


def _named(name: str) -> str:
    """A name may have a megabyte, and a task must hold its warnings."""
    return name[:_SHOWN_NAME_CHARACTERS]

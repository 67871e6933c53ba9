import datetime
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import failures
from tests.unit.ingest import support

HEAD = "id,formatted_text,created_at\n"
MAY = {"start_date": datetime.date(2031, 5, 1), "end_date": datetime.date(2031, 5, 31)}


def load(days: list[str], *, piece_bytes: int = 1 << 20, **chosen: Any) -> support.Loaded:
    rows = "".join(f'{number},text,"{day}"\n' for number, day in enumerate(days, start=1))
    return support.load(HEAD + rows, piece_bytes=piece_bytes, **{**MAY, **chosen})


def taken(loaded: support.Loaded) -> list[int]:
    return [row.row_number for row in loaded.rows()]


def warned(loaded: support.Loaded) -> list[tuple[str, int]]:
    return [(each.code, each.row) for each in loaded.plan.warnings if each.code == "date_order_inferred"]


# Cells of the column, the rows that are of May, and the row that a warning names.
SETTLED: dict[str, tuple[list[str], list[int], int | None]] = {
    "one day over 12 proves day first": (["05/06/2031", "07/05/2031", "31/05/2031"], [2, 3], 3),
    "wherever it stands": (["31/05/2031", "05/06/2031", "07/05/2031"], [1, 3], 1),
    "or month first": (["05/06/2031", "07/05/2031", "5/31/2031"], [1, 3], 3),
    "outside of the dates too": (["05/06/2031", "07/05/2031", "12/31/2019"], [1], 3),
    "dashes are like slashes": (["05-06-2031", "31-05-2031"], [2], 2),
    "with times": (["05/06/2031 10:00 PM", "31/05/2031 23:59"], [2], 2),
    "dots are day first": (["05.06.2031", "07.05.2031"], [2], 1),
    "unless a day with dots proves otherwise": (["05.06.2031", "07.05.2031", "05.31.2031"], [1, 3], 3),
    "or one with slashes does": (["05.06.2031", "07.05.2031", "05/31/2031"], [1, 3], 3),
    "two digits of the year": (["06/05/31", "05/13/31"], [2], 2),
    "two digits of the year with dots": (["06.05.31", "05.06.31"], [1], 1),
    "the year first by what no day or month is": (["31-05-06", "99-06-05"], [1], 2),
    "ISO beside them proves nothing": (["2031-05-06", "2031-12-31", "05/06/2031", "30/05/2031"], [1, 4], 4),
    "nor do names of months": (["6 May 2031", "05/06/2031", "30/05/2031"], [1, 3], 3),
    "nothing hangs on it: equal numbers": (["05/05/2031", "06/06/2031"], [1], None),
    "nothing hangs on it: all outside": (["01/02/2031", "02/03/2031", "2031-05-09"], [3], None),
    "rows that prove both, and none in doubt": (["31/05/2031", "05/31/2031", "01/02/2031"], [1, 2], None),
}  # fmt: skip


@pytest.mark.parametrize("kind", SETTLED)
@pytest.mark.parametrize("piece_bytes", [40, 1 << 20])
def test_the_whole_column_decides_the_order(kind: str, piece_bytes: int) -> None:
    days, rows, warning = SETTLED[kind]
    loaded = load(days, piece_bytes=piece_bytes)
    assert taken(loaded) == rows
    assert loaded.reasons() == {}
    assert warned(loaded) == ([("date_order_inferred", warning)] if warning else [])
    assert support.plan.Plan.from_json(loaded.plan.to_json()) == loaded.plan


UNCLEAR = {
    "no row shows it": ["05/06/2031", "07/08/2031"],
    "equal numbers show nothing": ["05/06/2031", "06/06/2031", "05/05/2031"],
    "rows that prove both": ["31/05/2031", "05/31/2031", "05/06/2031"],
    "dots that prove both": ["31.05.2031", "05.31.2031", "05.06.2031"],
    "a year of two digits that may stand first": ["31/05/31", "30/05/31", "31/05/30"],
}


@pytest.mark.parametrize("kind", UNCLEAR)
@pytest.mark.parametrize("piece_bytes", [40, 1 << 20])
def test_an_order_that_is_unclear_and_decides_fails_the_task(kind: str, piece_bytes: int) -> None:
    with pytest.raises(failures.FileFailure) as caught:
        load(UNCLEAR[kind], piece_bytes=piece_bytes)
    assert caught.value.reason == "DATE_ORDER_UNCLEAR"
    for word in ("'created_at'", "date_order=", "in row "):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("order", "rows", "bad"), [("mdy", [1, 3, 5], [4]), ("dmy", [2, 4, 5], [3]), ("ymd", [5], [1, 2, 3, 4])]
)
def test_date_order_settles_it(order: str, rows: list[int], bad: list[int]) -> None:
    loaded = load(["05/06/2031", "06/05/2031", "05/31/2031", "31/05/2031", "2031-05-09"], date_order=order)
    assert taken(loaded) == rows
    assert loaded.reasons() == dict.fromkeys(bad, "bad_date")
    assert loaded.plan.warnings == ()
    assert all("is no date in the order" in reject.message for reject in loaded.rejects())


def test_years_of_two_digits_first_are_read_where_they_are_asked_for() -> None:
    assert taken(load(["31-05-06", "06-05-31"], date_order="ymd")) == [1]


@pytest.mark.parametrize(
    ("zone", "rows"), [("UTC", [1, 2, 4]), ("Asia/Tokyo", [1, 2, 5]), ("America/New_York", [1, 2, 3, 4])]
)
def test_days_are_compared_in_the_zone_that_is_asked_for(zone: str, rows: list[int]) -> None:
    moments = [
        "2031-05-01", "2031-05-01T00:30", "2031-06-01T03:30:00Z", "2031-05-31T23:00:00+00:00",
        "2031-05-01T01:00:00+09:30",
    ]  # fmt: skip
    assert taken(load(moments, time_zone=zone)) == rows


def test_a_row_without_a_date_says_why() -> None:
    loaded = load(["", "1712102400", "soon", "31/31/2031"])
    assert set(loaded.reasons().values()) == {"bad_date"}
    said = [reject.message for reject in loaded.rejects()]
    assert said[0].startswith("The row has no date; write YYYY-MM-DD")
    assert "seconds since 1970" in said[1]
    assert "'soon' is no date;" in said[2]


def test_ids_compete_within_the_dates_of_the_order_that_the_end_of_the_file_proves() -> None:
    data = HEAD + "a,first,05/06/2031\na,second,06/05/2031\nb,x,13/02/2019\n"
    loaded = support.load(data, piece_bytes=30, **MAY)
    # Row 1 is of June, day first: the second row of the id is its first one within the dates.
    assert taken(loaded) == [2]
    assert loaded.plan.duplicates_total == 0
    assert support.load(data, piece_bytes=30, on_duplicate="fail", **MAY).plan.duplicates_total == 0
    other = support.load(data.replace("13/02", "02/13"), piece_bytes=30, **MAY)
    assert taken(other) == [1]


def test_a_file_whose_beginning_proves_the_order_is_read_once() -> None:
    early = HEAD + "a,x,31/05/2031\n" + "".join(f"{number},x,05/06/2031\n" for number in range(99))
    loaded = support.load(early, **MAY)
    assert loaded.source.opened == [0]


@settings(deadline=None, max_examples=40)
@given(
    days=st.lists(st.dates(datetime.date(2030, 1, 1), datetime.date(2032, 12, 31)), min_size=1, max_size=30),
    order=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%y", "%y/%m/%d"]),
    piece_bytes=st.sampled_from([20, 90, 1 << 20]),
    seed=st.integers(0, 99),
)
def test_no_row_is_taken_or_left_in_silence(days: list[datetime.date], order: str, piece_bytes: int, seed: int) -> None:
    """Whatever the column: each row as it was meant, or DATE_ORDER_UNCLEAR, wherever blocks end."""
    ids = [random.Random(seed + number).randrange(8) for number in range(len(days))]
    data = HEAD + "".join(f"{name},x,{day.strftime(order)}\n" for name, day in zip(ids, days, strict=True))
    meant: list[int] = []
    for number, (name, day) in enumerate(zip(ids, days, strict=True), start=1):
        if MAY["start_date"] <= day <= MAY["end_date"] and name not in [ids[row - 1] for row in meant]:
            meant.append(number)
    try:
        loaded = support.load(data, piece_bytes=piece_bytes, **MAY)
    except failures.FileFailure:
        with pytest.raises(failures.FileFailure, match="DATE_ORDER_UNCLEAR"):
            support.load(data, **MAY)
        asked = {"%d": "dmy", "%m": "mdy", "%y": "ymd"}[order[:2]]
        loaded = support.load(data, piece_bytes=piece_bytes, date_order=asked, **MAY)
    assert taken(loaded) == meant
    assert loaded.reasons() == {}

import datetime
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.contract import moments

UTC = datetime.UTC

# Cells, the day that each is in UTC, and its time of the day.
CERTAIN: dict[str, tuple[str, str]] = {
    "2031-05-09": ("2031-05-09", "00:00"),
    " 2031-5-9\t": ("2031-05-09", "00:00"),
    "2031/05/09": ("2031-05-09", "00:00"),
    "2031.5.9": ("2031-05-09", "00:00"),
    "2031. 05. 09.": ("2031-05-09", "00:00"),
    "20310509": ("2031-05-09", "00:00"),
    "20310509T1745": ("2031-05-09", "17:45"),
    "20310509174501Z": ("2031-05-09", "17:45:01"),
    "2031年5月9日": ("2031-05-09", "00:00"),
    "2031년 5월 9일 17:45": ("2031-05-09", "17:45"),
    "2031-05-09T17:45:01.25": ("2031-05-09", "17:45:01.250000"),
    "2031-05-09T17:45:01,250Z": ("2031-05-09", "17:45:01.250000"),
    "2031-05-09 17:45:01.123456789 UTC": ("2031-05-09", "17:45:01.123456"),
    "2031-05-09 23:30:00-05:00": ("2031-05-10", "04:30"),
    "2031-05-09 00:30:00 +0200 CEST": ("2031-05-08", "22:30"),
    "2031-05-09T00:30+02:00[Europe/Rome]": ("2031-05-08", "22:30"),
    "2031/05/09 00:30 +02": ("2031-05-08", "22:30"),
    "2031-05-09T24:00": ("2031-05-10", "00:00"),
    "2031-05-09 12:05 AM": ("2031-05-09", "00:05"),
    "2031-05-09, 12:05pm": ("2031-05-09", "12:05"),
    "2031-05-09 9 p.m.": ("2031-05-09", "21:00"),
    "9 May 2031": ("2031-05-09", "00:00"),
    "9th of May, 2031": ("2031-05-09", "00:00"),
    "May 9, 2031": ("2031-05-09", "00:00"),
    "MAY 9TH 2031 5:45 pm": ("2031-05-09", "17:45"),
    "09-May-31": ("2031-05-09", "00:00"),
    "09-SEP-88 05.45.01.000500 PM": ("1988-09-09", "17:45:01.000500"),
    "09SEP2031:17:45:01": ("2031-09-09", "17:45:01"),
    "09/Sep/2031:00:45:01 +0100": ("2031-09-08", "23:45:01"),
    "2031-Sep-09": ("2031-09-09", "00:00"),
    "Tue, 09 Sep 2031 17:45:01 GMT": ("2031-09-09", "17:45:01"),
    "Tuesday, September 9, 2031": ("2031-09-09", "00:00"),
    "Tue Sep  9 17:45:01 2031": ("2031-09-09", "17:45:01"),
    "Tue Sep  9 17:45:01 UTC 2031": ("2031-09-09", "17:45:01"),
    "Tue Sep 09 2031 01:45:01 GMT+0200 (Central European Summer Time)": ("2031-09-08", "23:45:01"),
    "9. März 2031": ("2031-03-09", "00:00"),
    "9. Ma\u0308rz 2031": ("2031-03-09", "00:00"),
    "1er août 2031": ("2031-08-01", "00:00"),
    "9 de diciembre de 2031": ("2031-12-09", "00:00"),
    "9 gennaio 2031": ("2031-01-09", "00:00"),
    "9 de março de 2031": ("2031-03-09", "00:00"),
    "9 mei 2031": ("2031-05-09", "00:00"),
}

NO_DATES = [
    "", "soon", "2031-02-30", "31/04/2031", "0000-01-01", "13/13/2031", "2031-13-01", "20311301", "9/5-2031",
    "2031-05-09garbage", "2031-05-09 noon", "2031-05-09 13:00 pm", "2031-05-09 25:00", "2031-05-09 10:61",
    "2031-05-09 10:00 EST", "2031-05-09 10:00+25:00", "May 2031", "9 May", "9 May 10:15:30", "9 Mayday 2031",
    "1712102400", "1712102400000", "45000", "2031", "12:30", "1.2.3", "10.0.0.1", "Q2 2031", "v1.2.2031",
    "\u0662\u0660\u0663\u0661-01-01", "9 May 2031 and so on", "2031-05-09" + " x" * 60,
]  # fmt: skip


@pytest.mark.parametrize("cell", CERTAIN)
def test_a_date_without_doubt_is_the_same_in_every_order(cell: str) -> None:
    day, time = CERTAIN[cell]
    written = moments.read(cell)
    assert written is not None
    assert written.plain
    moment = datetime.datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
    for order in moments.ORDERS:
        assert written.day(order, UTC) == datetime.date.fromisoformat(day)
        assert written.seconds(order, UTC) == moment.timestamp()


@pytest.mark.parametrize("cell", NO_DATES)
def test_what_is_no_date_is_not_read_in_part(cell: str) -> None:
    assert moments.read(cell) is None


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("05/09/2031", (None, "2031-05-09", "2031-09-05")),
        ("5-9-2031 17:45", (None, "2031-05-09", "2031-09-05")),
        ("05.09.2031, 17:45", (None, "2031-05-09", "2031-09-05")),
        ("25/09/2031", (None, None, "2031-09-25")),
        ("9/25/2031", (None, "2031-09-25", None)),
        ("05/09/31", (None, "2031-05-09", "2031-09-05")),
        ("05/09/30", ("2005-09-30", "2030-05-09", "2030-09-05")),
        ("99-12-31", ("1999-12-31", None, None)),
        ("5/9/31", (None, "2031-05-09", "2031-09-05")),
        ("31/9/5", ("2031-09-05", None, None)),
        ("Wed 05/09/2031", (None, "2031-05-09", "2031-09-05")),
    ],
)
def test_numbers_are_read_in_each_order_that_makes_a_day(cell: str, days: tuple[str | None, ...]) -> None:
    written = moments.read(cell)
    assert written is not None
    assert tuple(day and day.isoformat() for day in written.days) == days


def test_a_cell_without_a_zone_is_of_the_zone_that_is_asked_for() -> None:
    zone = zoneinfo.ZoneInfo("America/New_York")
    bare, zoned = moments.read("2031-01-31 23:00"), moments.read("2031-02-01T04:00:00Z")
    assert bare is not None
    assert zoned is not None
    assert bare.seconds("ymd", zone) == zoned.seconds("ymd", zone)
    assert bare.day("ymd", zone) == zoned.day("ymd", zone) == datetime.date(2031, 1, 31)
    assert zoned.day("ymd", UTC) == datetime.date(2031, 2, 1)


def test_the_ends_of_the_calendar_are_no_days_where_a_zone_leads_beyond_them() -> None:
    for cell in ("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "9999-12-31T24:00"):
        written = moments.read(cell)
        assert written is not None
        assert written.day("ymd", UTC) is None
        assert written.seconds("ymd", UTC) is None


def test_seconds_are_whole_where_they_are() -> None:
    whole, half = moments.read("1969-12-31T23:59:59Z"), moments.read("1969-12-31T23:59:58.5Z")
    assert whole is not None
    assert half is not None
    assert repr(whole.seconds("ymd", UTC)) == "-1"
    assert repr(half.seconds("ymd", UTC)) == "-1.5"


FIRST = datetime.datetime(1000, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
FORMS = [
    "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M:%S", "%Y%m%d%H%M%S", "%d %b %Y %H:%M:%S",
    "%B %d, %Y %I:%M:%S %p", "%a, %d %b %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%d-%b-%Y %I.%M.%S %p",
]  # fmt: skip
ORDERED = {"mdy": "%m/%d/%Y %I:%M:%S %p", "dmy": "%d.%m.%Y, %H:%M:%S"}


@settings(deadline=None)
@given(moment=st.datetimes(FIRST, timezones=st.just(UTC)), form=st.sampled_from([*FORMS, *ORDERED.values()]))
def test_whatever_a_program_writes_is_read_as_it_was_meant(moment: datetime.datetime, form: str) -> None:
    written = moments.read(moment.strftime(form))
    assert written is not None
    order = next((order for order, of in ORDERED.items() if of == form), "ymd")
    assert written.day(order, UTC) == moment.date()
    assert written.seconds(order, UTC) == moment.replace(microsecond=0).timestamp()


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789-/.: TZAPMapm+,()maraugsept3年"), max_size=30))
def test_any_text_is_a_date_or_none(cell: str) -> None:
    written = moments.read(cell)
    if written is not None:
        assert any(written.days)
        for order in moments.ORDERS:
            written.day(order, UTC)
            written.seconds(order, UTC)

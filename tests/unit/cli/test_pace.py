from __future__ import annotations

import pytest

from cli import pace, plain
from tests.unit.cli import fake_line


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rows_done_before_the_first_look_are_no_pace():
    clock = Clock()
    measured = pace.Pace(clock)
    measured.add(50_000)

    assert measured.rows_per_second == 0
    assert measured.seconds_left(10) is None

    clock.now += 10
    measured.add(51_000)
    assert measured.rows_per_second == pytest.approx(100)
    assert measured.seconds_left(2_000) == pytest.approx(20)


def test_only_the_last_half_minute_counts():
    clock = Clock()
    measured = pace.Pace(clock)
    for rows in range(0, 60_001, 1_000):  # 1,000 rows/s for a minute
        measured.add(rows)
        clock.now += 1
    for _ in range(30):  # then nothing
        measured.add(60_000)
        clock.now += 1

    assert measured.rows_per_second < 1_000 / 15


@pytest.mark.parametrize(("seconds", "said"), [(5, "0:05"), (65.4, "1:05"), (3600, "1:00:00")])
def test_times_read_as_clocks_do(seconds, said):
    assert pace.clock_time(seconds) == said


def test_plain_lines_come_at_each_change_of_status_and_now_and_then():
    clock, lines = Clock(), []
    display = plain.PlainTask(lines.append, clock=clock)
    for second in range(11):
        display.show(fake_line.seen(fake_line.task("processing_chunks", total=1000, indexed=50 * second)))
        clock.now += 1
    display.show(fake_line.seen(fake_line.task("completed", total=1000, indexed=999, failed=1)))

    assert lines == [
        "processing_chunks: 0 of 1,000 rows (0 %)",
        "processing_chunks: 250 of 1,000 rows (25 %), 50 rows/s, 0:15 left",
        "processing_chunks: 500 of 1,000 rows (50 %), 50 rows/s, 0:10 left",
        "completed: 1,000 of 1,000 rows (100 %), 1 failed",
    ]


def test_a_slow_upload_says_now_and_then_how_far_it_is():
    clock, lines = Clock(), []
    display = plain.PlainUpload(lines.append, "a.csv", 10_000_000, clock=clock)
    for sent in range(1_000_000, 10_000_001, 1_000_000):
        clock.now += 1
        display.sent(sent)

    assert lines == ["uploading a.csv: 5.0 of 10.0 MB (50 %)", "uploading a.csv: 10.0 of 10.0 MB (100 %)"]

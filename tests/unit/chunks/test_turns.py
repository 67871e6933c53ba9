"""Weighted turns."""

import collections

from services.chunks import turns


def test_a_round_has_every_lanes_share_and_spreads_it() -> None:
    assert collections.Counter(turns.SCHEDULE) == turns.WEIGHTS
    assert turns.SCHEDULE_DIGITS.count("4") == 1
    twice = turns.SCHEDULE + turns.SCHEDULE
    longest_without_high = max(len(part) for part in turns.SCHEDULE_DIGITS.replace("1", ".").split("2"))
    assert longest_without_high <= 4
    assert len(twice) == 30


def test_consumers_begin_at_different_turns() -> None:
    assert len({turns.start_of(f"host-{n}-abc") for n in range(200)}) == len(turns.SCHEDULE)

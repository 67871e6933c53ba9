"""A line that stands still must show, however few calls were under way when it did."""

import threading
import time

import pytest

from benchmarks import callers

STANDSTILL_SECONDS = 0.5


def test_a_standstill_is_seen_by_every_call_that_was_due_in_it() -> None:
    """One caller that waits for its answers would see one slow call of 50."""
    frozen, stands = threading.Lock(), threading.Event()

    def call(number: int) -> None:
        if number == 25:
            with frozen:
                stands.set()
                time.sleep(STANDSTILL_SECONDS)
        elif number > 25:
            stands.wait(30)
            with frozen:
                pass

    took = callers.milliseconds(call, calls=50, a_second=50)

    assert len(took) == 50
    assert took[25] >= STANDSTILL_SECONDS * 1_000
    # Due 0.1 s after the freeze began: still 0.4 s of it left.
    assert took[30] >= (STANDSTILL_SECONDS - 0.1) * 1_000 - 50
    assert callers.p95_p99(took)[0] > STANDSTILL_SECONDS * 1_000 / 2


def test_a_call_waits_for_no_other() -> None:
    """All are under way at once: none ends before all have begun."""
    begun = threading.Barrier(20)

    callers.milliseconds(lambda _: begun.wait(timeout=30), calls=20, a_second=1_000)


def test_an_error_of_a_call_is_the_caller_s() -> None:
    def broken(number: int) -> None:
        if number == 3:
            raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        callers.milliseconds(broken, calls=5, a_second=1_000)

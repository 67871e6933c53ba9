"""The ledger's clock follows DynamoDB's Date when the machine's clock is wrong."""

import datetime
import email.utils

import hypothesis
from hypothesis import strategies

from services.indexer.storage import clock

TRUE = 1_800_000_000.25


class Machine:
    def __init__(self, off: float) -> None:
        self.true = TRUE
        self.off = off

    def __call__(self) -> float:
        return self.true + self.off

    def ask(self, watch: clock.Clock, latency: float) -> None:
        sent = self()
        self.true += latency / 2
        date = email.utils.formatdate(int(self.true), usegmt=True)
        self.true += latency / 2
        watch.observe(date, sent)


@hypothesis.given(
    off=strategies.floats(-4000, 4000), latencies=strategies.lists(strategies.floats(0.001, 5), min_size=1)
)
def test_it_is_never_further_off_than_an_answer_allows(off: float, latencies: list[float]) -> None:
    machine = Machine(off)
    watch = clock.Clock(machine)
    for latency in latencies:
        machine.ask(watch, latency)
    error = watch.now().timestamp() - machine.true
    assert abs(error) <= min(abs(off), 1.0 + min(latencies)) + 0.001


def test_a_right_clock_is_left_alone() -> None:
    machine = Machine(0.0)
    watch = clock.Clock(machine)
    for _ in range(10):
        machine.ask(watch, 0.01)
        machine.true += 0.37
    assert abs(watch.now().timestamp() - machine()) < 1e-5


def test_a_clock_that_is_set_meanwhile_is_learnt_anew() -> None:
    machine = Machine(0.0)
    watch = clock.Clock(machine)
    machine.ask(watch, 0.01)
    machine.off = 3600.0
    machine.ask(watch, 0.01)
    assert abs(watch.now().timestamp() - machine.true) < 1.1


def test_a_strange_date_is_ignored() -> None:
    watch = clock.Clock(lambda: 5.0)
    watch.observe("yesterday", 5.0)
    assert watch.now().timestamp() == 5.0


def test_times_sort_as_text_and_come_back() -> None:
    moments = [datetime.datetime(2026, 1, 1, 0, 0, 0, micro, datetime.UTC) for micro in (0, 5, 999_999)]
    texts = [clock.text(moment) for moment in moments]
    assert texts == sorted(texts)
    assert [clock.parse(text) for text in texts] == moments
    assert texts[0] == "2026-01-01T00:00:00.000000Z"

"""Of alike warnings a few a window are printed, and how many were left out is said."""

from typing import Any

import pytest
import structlog

from services.runtime import repeats


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiting(clock: Clock) -> repeats.Repeats:
    return repeats.Repeats(clock)


def printed(limiting: repeats.Repeats, count: int, level: str = "warning", **fields: Any) -> list[dict[str, Any]]:
    lines = []
    for number in range(count):
        try:
            lines.append(dict(limiting(None, level, {"level": level, "action": "away", "attempt": number, **fields})))
        except structlog.DropEvent:
            continue
    return lines


def test_a_flood_is_a_few_lines_and_then_a_number(limiting: repeats.Repeats, clock: Clock) -> None:
    assert [line["attempt"] for line in printed(limiting, 1_000)] == list(range(repeats.PRINTED))

    clock.now += repeats.WINDOW_SECONDS
    first, second = printed(limiting, 2)

    assert first["repeated"] == 1_000 - repeats.PRINTED
    assert "repeated" not in second


def test_lines_about_other_things_are_not_alike(limiting: repeats.Repeats) -> None:
    printed(limiting, 100, task_id="a")

    assert len(printed(limiting, 1, task_id="b")) == 1
    assert len(printed(limiting, 1, level="error", task_id="a")) == 1
    assert printed(limiting, 1, task_id="a") == []


@pytest.mark.parametrize("fields", [{"level": "info"}, {"level": "debug"}, {"level": "error", "incident": "4711"}])
def test_what_is_no_trouble_or_may_be_asked_for_is_always_printed(
    limiting: repeats.Repeats, fields: dict[str, str]
) -> None:
    assert len(printed(limiting, 100, **fields)) == 100


def test_kinds_without_end_do_not_fill_the_memory(
    limiting: repeats.Repeats, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "MOST_KINDS", 50)
    for number in range(500):
        clock.now += 1
        assert len(printed(limiting, 1, task_id=str(number))) == 1
        assert len(limiting._windows) <= 50

"""The bucket in this process."""

import types

import pytest

from services.runtime import key_rates


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [1000.0]
    monkeypatch.setattr(key_rates, "time", types.SimpleNamespace(monotonic=lambda: at[0]))
    return at


async def test_a_seconds_worth_may_come_at_once_and_then_the_rate_holds(now: list[float]) -> None:
    rate = key_rates.LocalRate()

    assert [await rate.take("a", 5) for _ in range(5)] == [0.0] * 5
    assert await rate.take("a", 5) == pytest.approx(0.2)
    now[0] += 0.2
    assert await rate.take("a", 5) == 0.0
    assert await rate.take("a", 5) == pytest.approx(0.2)


async def test_a_refused_request_costs_nothing(now: list[float]) -> None:
    rate = key_rates.LocalRate()
    await rate.take("a", 1)

    assert [await rate.take("a", 1) for _ in range(100)] == [1.0] * 100
    now[0] += 1.0
    assert await rate.take("a", 1) == 0.0


async def test_a_rate_below_one_a_second_lets_one_through(now: list[float]) -> None:
    rate = key_rates.LocalRate()

    assert await rate.take("a", 0.1) == 0.0
    assert await rate.take("a", 0.1) == pytest.approx(10.0)


async def test_keys_do_not_share(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rates, "REMEMBERED_KEYS", 2)
    rate = key_rates.LocalRate()

    assert [await rate.take(key, 1) for key in ("a", "b", "c")] == [0.0] * 3
    assert await rate.take("c", 1) > 0

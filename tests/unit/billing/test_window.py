"""What was bought lately, within a budget."""

from hypothesis import given
from hypothesis import strategies as st

from services.billing import window


def test_what_came_again_outlasts_a_flood_of_what_did_not() -> None:
    kept: window.Window[str, int] = window.Window(100)
    kept.put("everywhere", 7, 10)
    assert kept.get("everywhere") == 7
    for number in range(1_000):
        kept.put(f"once {number}", number, 10)
    assert kept.get("everywhere") == 7
    assert kept.get("once 999") == 999
    assert kept.get("once 3") is None


def test_what_came_again_is_pushed_out_by_what_does_so_more_often() -> None:
    kept: window.Window[int, int] = window.Window(100)
    for number in range(20):
        kept.put(number, number, 10)
        kept.get(number)
    assert [number for number in range(20) if kept.get(number) is not None] != []
    assert kept.get(0) is None


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    kept: window.Window[str, int] = window.Window(100)
    kept.put("small", 1, 10)
    kept.put("huge", 2, 51)
    assert kept.get("huge") is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 40)), max_size=200))
def test_it_never_passes_its_budget_and_never_tells_another_value(steps: list[tuple[bool, int, int]]) -> None:
    kept: window.Window[int, int] = window.Window(200)
    for put, key, weight in steps:
        if put:
            kept.put(key, key * 7, weight)
        else:
            assert kept.get(key) in (None, key * 7)
        halves = (kept._once, kept._again)
        assert all(half.weight <= 100 for half in halves)
        assert all(half.weight == sum(weight for _, weight in half.entries.values()) for half in halves)
        assert not kept._once.entries.keys() & kept._again.entries.keys()

"""When embedders come and go, by the very expressions that CloudWatch is given."""

import re

import pytest

from observe import alarms, cloudwatch, scaling

CALM = {
    "waiting": 0,
    "bought": 0,
    "refused": 0,
    "failed": 0,
    "tokens": 0,
    "tokens_limit": 75_000,
    "requests_limit": 75,
    "pause": 0,
    "pinecone": 1,
    "active": 0,
    "available": 16,
}


def value(alarm: alarms.Alarm, **seen: float | None) -> float | None:
    """What CloudWatch's metric math makes of a minute; None: a metric that it needs has no data."""
    metrics = {**CALM, **seen}
    words = alarm.expression.replace(" AND ", " and ").replace(" OR ", " or ")
    words = re.sub(r"\bIF\(", "_if(", words)
    names = {name: metrics[name] for name in alarm.metrics}
    filled = {m[1] for m in re.finditer(r"FILL\((\w+), \w+\)", words)}
    if any(each is None for name, each in names.items() if name not in filled):
        return None
    words = re.sub(r"FILL\((\w+), (\d)\)", lambda m: m[2] if names[m[1]] is None else m[1], words)
    return eval(words, {"_if": lambda condition, then, other: then if condition else other}, names)


def sounds(alarm: alarms.Alarm, **seen: float | None) -> bool:
    found = value(alarm, **seen)
    return found is not None and found > alarm.above


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (False, {}),
        (True, {"waiting": 8}),
        (False, {"waiting": 7}),
        (True, {"waiting": 400, "tokens": 54 * 75_000, "bought": 54 * 75}),
        (False, {"waiting": 400, "tokens": 54 * 75_000 + 1}),
        (False, {"waiting": 400, "bought": 54 * 75 + 1}),
        (False, {"waiting": 400, "bought": 54 * 75, "refused": 1}),
        (True, {"waiting": 400, "tokens": 10**9, "tokens_limit": 0}),
        (True, {"waiting": 400, "bought": 10**6, "requests_limit": 0}),
        (False, {"waiting": 400, "pause": 3}),
        (False, {"waiting": 400, "pinecone": 0}),
        (False, {"waiting": 400, "bought": 3, "failed": 4}),
        (True, {"waiting": 400, "tokens": None, "bought": None, "refused": None, "failed": None, "pinecone": None}),
        (False, {"waiting": None}),
    ],
)
def test_embedders_are_added_while_chunks_wait_and_there_is_quota_left(
    wanted: bool, seen: dict[str, float | None]
) -> None:
    assert sounds(scaling.WANTED, **seen) is wanted


def test_the_value_that_the_steps_go_by_is_the_backlog() -> None:
    assert value(scaling.WANTED, waiting=123) == 123


@pytest.mark.parametrize(
    ("idle", "seen"),
    [
        (True, {}),
        (True, {"active": 8, "available": 8}),
        (False, {"active": 9, "available": 7}),
        (False, {"waiting": 1}),
        (False, {"waiting": None}),
        (False, {"active": None}),
    ],
)
def test_embedders_go_when_nothing_waits_and_half_of_them_would_do(idle: bool, seen: dict[str, float | None]) -> None:
    assert sounds(scaling.IDLE, **seen) is idle


@pytest.mark.parametrize("seen", [{"waiting": waiting, "active": active} for waiting in (0, 9) for active in (0, 16)])
def test_both_never_sound_at_once(seen: dict[str, float]) -> None:
    assert not (sounds(scaling.WANTED, **seen) and sounds(scaling.IDLE, **seen))


@pytest.mark.parametrize("alarm", [*alarms.ALL, *scaling.ALL], ids=lambda alarm: alarm.name)
def test_an_alarm_has_as_many_metrics_as_cloudwatch_takes(alarm: alarms.Alarm) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create-alarm-on-metric-math-expression.html"""
    assert len(alarm.metrics) <= 10
    published = {(frozenset(each.dimensions), each.metric) for each in cloudwatch.published()}
    assert {(frozenset(each.dimensions), each.name) for each in alarm.metrics.values()} <= published

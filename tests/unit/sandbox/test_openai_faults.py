"""Scripts of faults, and the journal that judges a client."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.openai import faults, journal


def script(*rules: dict[str, Any], seed: int = 0) -> faults.Script:
    made = faults.Script()
    made.load([faults.Rule.parse(rule) for rule in rules], seed)
    return made


def test_a_rule_fires_as_often_as_it_says() -> None:
    made = script({"kind": "html", "times": 2}, {"kind": "nan", "times": 1})
    picked = [made.pick(["a"]) for _ in range(4)]
    assert [rule and rule.kind for rule in picked] == ["html", "html", "nan", None]


def test_a_rule_can_wait_for_a_text() -> None:
    made = script({"kind": "bad_row", "match_text": "poison"})
    assert made.pick(["fine", "well"]) is None
    assert made.pick(["fine", "a poisoned row"]) is made.rules[0]


def test_a_rule_can_be_about_large_requests() -> None:
    made = script({"kind": "status", "body": "batch_too_large", "more_than": 2})
    assert made.pick(["a", "b"]) is None
    assert made.pick(["a", "b", "c"]) is made.rules[0]


def test_chance_is_repeatable() -> None:
    def run() -> list[bool]:
        made = script({"kind": "reset", "probability": 0.3}, seed=7)
        return [made.pick(["a"]) is not None for _ in range(200)]

    assert run() == run()
    assert 30 < sum(run()) < 90


@pytest.mark.parametrize(
    "rule",
    [
        {},
        [],
        {"kind": "nonsense"},
        {"kind": "html", "typo": 1},
        {"kind": "html", "times": -1},
        {"kind": "html", "times": True},
        {"kind": "html", "probability": 1.5},
        {"kind": "html", "match_text": 3},
        {"kind": "status", "body": "nonsense"},
        {"kind": "status", "retry_after": "soon"},
        {"kind": "bad_row"},
        {"kind": "hang", "more_than": -1},
    ],
)
def test_a_wrong_rule_is_refused(rule: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        faults.Rule.parse(rule)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"body": "rate_limit"}, (429, "1")),
        ({"body": "rate_limit", "retry_after": "absent"}, (429, None)),
        ({"body": "rate_limit", "retry_after": "absurd"}, (429, "604800")),
        ({"body": "overloaded", "retry_after_seconds": 2.5}, (503, "3")),
        ({"body": "insufficient_quota"}, (429, None)),
        ({"body": "server_error"}, (500, None)),
        ({"body": "server_error", "code": 502}, (502, None)),
        ({"body": "invalid_api_key"}, (401, None)),
        ({"body": "no_access"}, (403, None)),
        ({"body": "model_not_found"}, (404, None)),
    ],
)
def test_scripted_errors_and_when_they_say_to_come_back(rule: dict[str, Any], expected: tuple[int, str | None]) -> None:
    error = faults.Rule.parse({"kind": "status", **rule}).error()
    assert error
    assert (error.status, error.headers.get("retry-after")) == expected


def test_a_peak_is_the_most_within_any_half_open_window() -> None:
    peak = journal.Peak(1.0)
    for now in (0.0, 0.5, 0.9, 1.0, 1.4, 3.0):
        peak.add(1, now)
    assert peak.most == 4  # 0.5, 0.9, 1.0, 1.4


def test_the_journal_counts_what_was_bought_twice() -> None:
    log = journal.Journal()
    for texts in (["a", "b", "b"], ["b", "c"]):
        visit = log.open()
        log.buy(visit, texts)
        log.close(visit, 200)
    refused = log.open()
    log.close(refused, 429)
    summary = log.summary()
    assert summary["inputs_bought"] == 5
    assert summary["distinct_inputs_bought"] == 3
    assert summary["repeated_inputs"] == 2
    assert summary["repeated_samples"] == ["b"]
    assert summary["by_status"] == {"200": 2, "429": 1}
    assert summary["too_many_requests"] == 1
    assert [visit["number"] for visit in log.visits(since=1, limit=1)] == [3]


def test_a_reset_forgets_all_but_what_still_runs() -> None:
    log = journal.Journal()
    log.open()
    log.reset()
    assert (log.summary()["requests"], log.summary()["in_flight"]) == (0, 1)

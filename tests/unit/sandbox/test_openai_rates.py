"""Rates under a virtual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.openai import errors, rates

MODEL = "text-embedding-3-small"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.017, "17ms"),
        (0.0001, "1ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3603, "1h0m3s"),
        (604_800, "168h0m0s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert rates.duration(seconds) == text


def test_a_window_holds_one_request_more_than_the_rate() -> None:
    gate = rates.Gate(rates.Limits(requests_per_second=5))
    assert [gate.admit_request(0.1 * n) for n in range(6)] == [0.0] * 6
    assert gate.admit_request(0.6) == pytest.approx(0.4)
    assert gate.admit_request(1.0) == 0.0


@pytest.mark.parametrize("rate", [0.5, 5, 100])
def test_a_client_at_99_percent_with_jitter_is_never_refused(rate: float) -> None:
    gate = rates.Gate(rates.Limits(requests_per_second=rate))
    gap = 1 / (rate * 0.99)
    times = sorted(n * gap + (n * 7 % 10) / 1000 for n in range(int(130 * rate)))
    assert not any(gate.admit_request(now) for now in times)


@given(st.integers(1, 20), st.lists(st.floats(0.001, 0.5), min_size=50, max_size=300))
def test_no_second_ever_admits_more_than_the_rate_and_one(rate: int, gaps: list[float]) -> None:
    gate = rates.Gate(rates.Limits(requests_per_second=rate))
    now, admitted = 0.0, list[float]()
    for gap in gaps:
        now += gap
        if not gate.admit_request(now):
            admitted.append(now)
    for start in admitted:
        assert sum(start <= time < start + 1 for time in admitted) <= rate + 1
    assert len(admitted) <= (60 * rate + 1) * (now // 60 + 1)


def test_a_client_that_asks_again_when_told_gets_in() -> None:
    gate = rates.Gate(rates.Limits(requests_per_second=3, requests_per_minute=120))
    now, refused = 0.0, 0
    for _ in range(500):
        while wait := gate.admit_request(now):
            refused += 1
            now += wait + 1e-9
    assert refused <= 500
    assert now >= (500 - 120 - 1) / 2  # the bucket of a minute, then two a second


def test_the_token_bucket_answers_as_in_openais_own_message() -> None:
    gate = rates.Gate(rates.Limits(tokens_per_minute=1_000_000))
    gate.admit_tokens(MODEL, 976_163, 0.0)
    with pytest.raises(errors.ApiError) as caught:
        gate.admit_tokens(MODEL, 70_716, 0.0)
    assert caught.value.message == (
        "Rate limit reached for text-embedding-3-small in organization org-sandbox on tokens per min (TPM): "
        "Limit 1000000, Used 976163, Requested 70716. Please try again in 2.813s. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert (caught.value.status, caught.value.type, caught.value.code) == (429, "tokens", "rate_limit_exceeded")
    assert caught.value.headers["retry-after"] == "3"
    assert caught.value.headers["retry-after-ms"] == "2813"
    gate.admit_tokens(MODEL, 70_716, 2.813)


def test_tokens_at_the_limit_flow_for_ever() -> None:
    gate = rates.Gate(rates.Limits(tokens_per_minute=60_000))
    for second in range(600):
        gate.admit_tokens(MODEL, 1000, float(second))


def test_a_request_larger_than_the_bucket_is_told_so() -> None:
    with pytest.raises(errors.ApiError, match="Request too large") as caught:
        rates.Gate(rates.Limits(tokens_per_minute=100)).admit_tokens(MODEL, 101, 0.0)
    assert "retry-after" not in caught.value.headers


def test_headers_tell_what_is_left() -> None:
    gate = rates.Gate(rates.Limits(requests_per_minute=60, tokens_per_minute=6000))
    gate.admit_request(0.0)
    gate.admit_tokens(MODEL, 600, 0.0)
    assert gate.headers(0.0) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5400",
        "x-ratelimit-reset-tokens": "6s",
    }
    assert rates.Gate(rates.Limits()).headers(0.0) == {}

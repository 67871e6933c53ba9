"""A key has so many tokens a day, by UTC; who has none left is told when the next day begins."""

import datetime

import pytest

from services.runtime import errors, identity, key_tokens
from tests.support.key_tokens import LocalTokens

LATE = datetime.datetime(2026, 3, 1, 23, 59, 30, tzinfo=datetime.UTC)


async def check(tokens: LocalTokens, limit: int) -> None:
    allowance = identity.KeyAllowance(tokens_per_day=limit)
    bound = identity.bind(identity.Caller("ann", frozenset({"read"}), limits=allowance))
    try:
        await key_tokens.check(tokens, lambda: LATE)
    finally:
        identity.unbind(bound)


async def test_a_call_is_let_through_while_anything_is_left_of_the_day() -> None:
    tokens = LocalTokens()
    tokens.spent("bob", 1_000)
    await check(tokens, 100)
    tokens.spent("ann", 99)
    await check(tokens, 100)
    tokens.spent("ann", 1)

    with pytest.raises(errors.ResourceExhausted) as refused:
        await check(tokens, 100)

    assert refused.value.reason == "TOKENS_QUOTA_EXCEEDED"
    assert refused.value.metadata == {"limit": "100", "unit": "tokens/day"}
    assert refused.value.retry_seconds == 30
    assert "100 tokens" in refused.value.message


async def test_a_key_without_a_limit_is_not_asked_about() -> None:
    tokens = LocalTokens()
    tokens.spent("ann", 10**12)

    await check(tokens, 0)

"""What any request learns is everybody's: it is counted, and a 429 pauses the line."""

from collections.abc import Sequence

import prometheus_client
import pytest

from services.embedder.buying import shared_backoff
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from services.embedder.openai import answers
from services.embedder.openai import errors as openai_errors

QUOTA = promise.Quota(0.0, 0.0, 300_000)


class Source:
    """Answers or raises, as told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    async def embed(self, texts: Sequence[str]) -> answers.Bought:
        if self.failure:
            raise self.failure
        return answers.Bought([b"vector"] * len(texts), len(texts))


def counted(outcome: str) -> float:
    found = prometheus_client.REGISTRY.get_sample_value("vectorline_openai_requests_total", {"outcome": outcome})
    return found or 0.0


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (openai_errors.Throttled(1.0, tokens_exceeded=False), "throttled"),
        (openai_errors.Failed("503"), "failed"),
        (openai_errors.Invalid("a page of HTML"), "failed"),
        (openai_errors.AccountRefused("no credit"), "account_refused"),
        (openai_errors.Refused("not this text"), "refused"),
    ],
)
async def test_a_request_that_brings_nothing_is_counted_by_its_outcome(failure: Exception, outcome: str) -> None:
    limiter = memory_limiter.MemoryLimiter(QUOTA)
    before = counted(outcome)
    with pytest.raises(type(failure)):
        await shared_backoff.SharedBackoff(Source(failure), limiter).embed(["a"])
    assert counted(outcome) == before + 1
    assert ((await limiter.look()).pause_seconds > 0) is (outcome == "throttled")


async def test_a_request_that_brings_embeddings_is_counted_as_bought() -> None:
    before = counted("bought")
    assert (
        await shared_backoff.SharedBackoff(Source(), memory_limiter.MemoryLimiter(QUOTA)).embed(["a", "b"])
        == [b"vector"] * 2
    )
    assert counted("bought") == before + 1

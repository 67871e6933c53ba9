"""Which refusals a person must see to, and which pass by themselves, in the words of Pinecone's limits page."""

import pytest

from services.indexer.pinecone import quota


@pytest.mark.parametrize(
    "words",
    [
        "Request failed. You've reached your write unit limit for the current month (2000000). To continue writing "
        "data, upgrade your plan.",
        "Request failed. You've reached the max storage allowed for project demo. To update or upsert new data, delete "
        "records or upgrade your plan.",
        "Request failed. You've reached the max namespaces allowed in serverless index demo. To add more namespaces, "
        "upgrade your plan.",
        "QUOTA_EXCEEDED: storage",
        "Your organization has exceeded its monthly quota.",
        "The request failed due to delinquent payment.",
    ],
)
def test_a_quota_of_the_plan_stays(words: str) -> None:
    assert quota.stays(words)


@pytest.mark.parametrize(
    "words",
    [
        "Request failed. You've reached the max upsert size limit per second for index demo. Pace your upserts or "
        "contact Pinecone Support to request a higher limit.",
        "Request failed. You've reached the upsert QPS limit for namespace v2 (100 QPS). Pace your upsert requests.",
        "Request failed. You've reached the max embedding tokens per minute (250000). To increase this limit, upgrade "
        "your plan.",
        "Too many requests. Please retry later.",
        "Resource exhausted",
        "Invalid API Key",
        "",
    ],
)
def test_a_limit_by_the_second_passes(words: str) -> None:
    assert not quota.stays(words)

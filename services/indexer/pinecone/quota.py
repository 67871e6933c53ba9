"""Which refusal is a plan's quota, and no limit by the second: waiting does not help before a person acts.

Pinecone answers both by 429, and some quotas by 402 or 403; only the words tell them apart, and there is no list of
them but its limits page: "You've reached your write unit limit for the current month", "You've reached the max storage
allowed for project …", "You've reached the max namespaces allowed in serverless index …".
https://docs.pinecone.io/reference/api/database-limits
"""

import re

_PASSES = re.compile(r"per (second|minute)|/s\b|\bQPS\b|pace your|too many requests", re.IGNORECASE)
_STAYS = re.compile(
    r"(current|per|this|each) (billing )?month|monthly|max(imum)? (storage|namespaces)|storage (limit|quota|allowed)"
    r"|upgrade your plan|quota[ _]?exceeded|exceeded.{0,40}quota|payment|delinquent|spend(ing)? (limit|cap)",
    re.IGNORECASE,
)


def stays(words: str) -> bool:
    """Whether a refusal with these words is of a quota that does not pass by itself within the hour."""
    return bool(_STAYS.search(words)) and not _PASSES.search(words)

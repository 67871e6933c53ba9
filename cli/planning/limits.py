"""What the providers allow.

OpenAI: https://platform.openai.com/docs/guides/rate-limits (usage tiers of the embedding models) and
https://platform.openai.com/docs/api-reference/embeddings. Pinecone: https://docs.pinecone.io/reference/api/database-limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Tokens a minute of the embedding models, by usage tier.
TIERS: Final[Mapping[int, int]] = {1: 1_000_000, 2: 1_000_000, 3: 5_000_000, 4: 5_000_000, 5: 10_000_000}
# What the line may use of it: the rest is for whoever else has the key (deploy/parameters says the same).
SHARE_OF_TIER: Final = 0.9
INPUTS_A_REQUEST: Final = 2_048
TOKENS_A_REQUEST: Final = 300_000
TOKENS_AN_INPUT: Final = 8_192

UPSERTS_A_SECOND: Final = 100
UPSERT_BYTES_A_SECOND: Final = 50_000_000
UPSERT_BYTES: Final = 2_000_000
UPSERT_ROWS: Final = 1_000
UNIT_BYTES: Final = 1_000
LEAST_WRITE_UNITS: Final = 5
LEAST_READ_UNITS: Final = 0.25
VALUES_A_VECTOR: Final = 20_000
METADATA_BYTES: Final = 40_960
NAMESPACES: Final = 100_000


def rows_a_request(tokens: float) -> int:
    """Texts in one request to OpenAI, which is full."""
    return max(1, min(INPUTS_A_REQUEST, int(TOKENS_A_REQUEST / tokens)))


def rows_an_upsert(record_bytes: int) -> int:
    """Records in one upsert, which is full."""
    return max(1, min(UPSERT_ROWS, UPSERT_BYTES // record_bytes))


def tier_for(tokens_per_minute: float) -> int | None:
    """The lowest tier that allows so many; None: not even the highest does."""
    return next((tier for tier, most in TIERS.items() if tokens_per_minute <= most * SHARE_OF_TIER), None)

"""What a row costs our own processes: `make bench`, docs/performance.md.

Rows of 64 tokens, 420 bytes and 1,536 values, on two cores of a shared machine. A test holds these against it.
Larger rows are taken to cost in proportion, smaller ones no less: neither was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SOURCE: Final = "docs/performance.md"
TOKENS: Final = 64
VALUES: Final = 1_536

# CPU, in ms per 1,000 rows. Valkey's is at its worst of that day, Envoy's is the upload's share.
CPU: Final[Mapping[str, float]] = {"ingest": 23.8, "embedder": 38.0, "indexer": 39.4, "valkey": 6.8, "envoy": 2.0}
# Where texts' bytes alone do not keep a request below its tokens, each text's tokens are counted.
COUNTING: Final = 25.0
# Wall, in ms per 1,000 rows of one file: read and split, one after the other.
SPLIT: Final = 23.3
# Full requests that one embedder has in hand (MAX_WORKERS of 8), and how long OpenAI takes for one: assumed.
REQUESTS_IN_HAND: Final = 4
OPENAI_SECONDS: Final = 1.0

# Of a core, on average: above it latencies grow, and alarms ring at 80 %.
LOAD: Final = 0.6

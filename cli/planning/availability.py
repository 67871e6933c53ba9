"""What can be promised of a call: the published promises of all that it needs, multiplied.

A promise is what is paid back for, not what is observed, and those who make them fail together less often than their
product says; it is the number that can be defended, and no forecast.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

WANTED: Final = 99.9
MINUTES_A_MONTH: Final = 730 * 60


@dataclasses.dataclass(frozen=True)
class Promise:
    """A published service level agreement.

    Args:
        percent: Of a month; None: none is published.
        source: Where.
        note: What it is of, where that is not plain.
    """

    percent: float | None
    source: str
    note: str = ""


PROMISES: Final[Mapping[str, Promise]] = {
    "Route 53": Promise(100.0, "https://aws.amazon.com/route53/sla/"),
    "load balancer": Promise(99.99, "https://aws.amazon.com/elasticloadbalancing/sla/"),
    "hosts in two zones": Promise(99.99, "https://aws.amazon.com/compute/sla/", "region level"),
    "one host": Promise(99.5, "https://aws.amazon.com/compute/sla/", "instance level"),
    "DynamoDB": Promise(99.99, "https://aws.amazon.com/dynamodb/sla/", "standard, one region"),
    "S3": Promise(99.9, "https://aws.amazon.com/s3/sla/", "standard class"),
    "Valkey in two zones": Promise(99.99, "https://aws.amazon.com/elasticache/sla/", "Multi-AZ with failover"),
    "Valkey in one zone": Promise(99.5, "https://aws.amazon.com/elasticache/sla/", "Single-AZ"),
    "OpenAI": Promise(None, "https://openai.com/api-scale-tier/", "pay as you go; Scale Tier sells no embeddings"),
    "Pinecone": Promise(None, "https://www.pinecone.io/pricing/", "Standard; 99.95 % on Enterprise"),
}

# What each call needs besides the way in. NAT, secrets, image registry and CloudWatch are not among them: secrets are
# kept by the processes, and the way out is a part of what OpenAI and Pinecone do not promise.
PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("DynamoDB",),
    "load, accepted": ("DynamoDB", "S3", "Valkey"),
    "load, finished in time": ("DynamoDB", "S3", "Valkey", "OpenAI", "Pinecone"),
    "search": ("Valkey", "OpenAI", "Pinecone"),
}


@dataclasses.dataclass(frozen=True)
class Path:
    """What a line can promise of one kind of call.

    Args:
        needs: Whose promises are multiplied.
        percent: The product; None: somebody of them promises nothing, so nobody can.
        minutes: Of a month that it may be away.
        without: Who promises nothing.
        holds: Whether it is 99.9 % or more.
    """

    needs: tuple[str, ...]
    percent: float | None
    minutes: float | None
    without: tuple[str, ...]
    holds: bool


def paths(line: str) -> dict[str, Path]:
    """What a line, small or production, can promise, by the kind of call."""
    one = line == "small"
    way_in = ("Route 53", "load balancer", "one host" if one else "hosts in two zones")
    valkey = "Valkey in one zone" if one else "Valkey in two zones"
    return {
        name: product((*way_in, *(valkey if need == "Valkey" else need for need in needs)))
        for name, needs in PATHS.items()
    }


def product(needs: tuple[str, ...]) -> Path:
    """Promises multiplied."""
    promised = [PROMISES[need].percent for need in needs]
    without = tuple(need for need in needs if PROMISES[need].percent is None)
    if without:
        return Path(needs, None, None, without, holds=False)
    percent = 100 * math.prod(each / 100 for each in promised if each is not None)
    return Path(needs, round(percent, 3), round(MINUTES_A_MONTH * (1 - percent / 100), 1), (), percent >= WANTED)

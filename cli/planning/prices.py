"""What things cost: one table, each row with the day it was looked at and where it stands.

AWS is us-east-1, on demand, without free tiers and discounts; Pinecone is Standard on AWS us-east-1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

HOURS_A_MONTH: Final = 730
DAYS_A_MONTH: Final = HOURS_A_MONTH / 24


@dataclasses.dataclass(frozen=True)
class Price:
    """US dollars for one unit.

    Args:
        dollars: For one unit.
        unit: What one is.
        seen: The day on which it was looked at. Nobody promises that it still holds.
        source: Where it stands.
    """

    dollars: float
    unit: str
    seen: str
    source: str


_EC2: Final = "https://aws.amazon.com/ec2/pricing/on-demand/"
_VPC: Final = "https://aws.amazon.com/vpc/pricing/"
_CACHE: Final = "https://aws.amazon.com/elasticache/pricing/"
_DYNAMO: Final = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_WATCH: Final = "https://aws.amazon.com/cloudwatch/pricing/"
_BALANCER: Final = "https://aws.amazon.com/elasticloadbalancing/pricing/"
_WAF: Final = "https://aws.amazon.com/waf/pricing/"
_OPENAI: Final = "https://platform.openai.com/docs/pricing"
_PINECONE: Final = "https://www.pinecone.io/pricing/"
# No page of AWS could be opened where this was written: these are its list prices as they were known on this day.
_KNOWN: Final = "2025-06-01"
_SEEN: Final = "2026-11-23"

TABLE: Final[Mapping[str, Price]] = {
    "text-embedding-3-small": Price(0.02, "a million tokens", _SEEN, _OPENAI),
    "text-embedding-3-large": Price(0.13, "a million tokens", _SEEN, _OPENAI),
    "text-embedding-ada-002": Price(0.10, "a million tokens", _SEEN, _OPENAI),
    "pinecone write units": Price(4.00, "a million", _SEEN, _PINECONE),
    "pinecone read units": Price(16.00, "a million", _SEEN, _PINECONE),
    "pinecone storage": Price(0.33, "a GB-month", _SEEN, _PINECONE),
    "pinecone least": Price(50.00, "a month", "2026-11-04", "https://docs.pinecone.io/guides/manage-cost"),
    "t3.large": Price(0.0832, "an hour", _KNOWN, _EC2),
    "m5.xlarge": Price(0.192, "an hour", _KNOWN, _EC2),
    "gp3": Price(0.08, "a GB-month", _KNOWN, "https://aws.amazon.com/ebs/pricing/"),
    "internet": Price(0.09, "a GB out", _KNOWN, _EC2),
    "zones": Price(0.02, "a GB from zone to zone, both ends", _KNOWN, _EC2),
    "nat": Price(0.045, "an hour", _KNOWN, _VPC),
    "nat traffic": Price(0.045, "a GB", _KNOWN, _VPC),
    "address": Price(0.005, "an hour of a public IPv4 address", _KNOWN, _VPC),
    "endpoint": Price(0.01, "an hour and zone", _KNOWN, "https://aws.amazon.com/privatelink/pricing/"),
    "load balancer": Price(0.0225, "an hour", _KNOWN, _BALANCER),
    "load balancer unit": Price(0.008, "an hour of a capacity unit (LCU)", _KNOWN, _BALANCER),
    "cache.t4g.small": Price(0.0256, "an hour", _KNOWN, _CACHE),
    "cache.m7g.large": Price(0.1264, "an hour", _KNOWN, _CACHE),
    "dynamodb writes": Price(0.625, "a million units", "2026-11-30", _DYNAMO),
    "dynamodb reads": Price(0.125, "a million units", "2026-11-30", _DYNAMO),
    "s3": Price(0.023, "a GB-month", _KNOWN, "https://aws.amazon.com/s3/pricing/"),
    "logs": Price(0.50, "a GB taken in", _KNOWN, _WATCH),
    "metric": Price(0.30, "a metric and month", _KNOWN, _WATCH),
    "alarm": Price(0.10, "an alarm's metric and month", _KNOWN, _WATCH),
    "dashboard": Price(3.00, "a month", _KNOWN, _WATCH),
    "secret": Price(0.40, "a month", _KNOWN, "https://aws.amazon.com/secrets-manager/pricing/"),
    "key": Price(1.00, "a month", _KNOWN, "https://aws.amazon.com/kms/pricing/"),
    "waf": Price(5.00, "a web ACL and month", _KNOWN, _WAF),
    "waf rule": Price(1.00, "a rule and month", _KNOWN, _WAF),
    "registry": Price(0.10, "a GB-month", _KNOWN, "https://aws.amazon.com/ecr/pricing/"),
}


def of(name: str) -> float:
    """US dollars of one unit."""
    return TABLE[name].dollars

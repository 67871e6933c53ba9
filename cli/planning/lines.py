"""The two lines of `deploy/parameters`: what carries a demand, and what it costs a month.

What is fixed there (hosts, nodes, zones, endpoints, secrets) is held against the stacks by a test.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Final

from cli.planning import demand, limits, measured, prices

SERVICES: Final = ("ingest", "embedder", "indexer", "envoy")
# Virtual CPUs that a task has, where each service has tasks of its own; the agent is one of them.
SHARES: Final[Mapping[str, float]] = {"ingest": 1, "embedder": 1, "indexer": 1, "envoy": 0.5}
AGENT_SHARE: Final = 0.25
ROWS_A_CHUNK: Final = 1_000
GB: Final = 1e9
# Base64 of values, as OpenAI sends them.
BASE64: Final = 4 / 3


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a line is made of, whatever is asked of it.

    Args:
        name: Of its file in deploy/parameters.
        instance: Type of its hosts.
        cores: Virtual CPUs of a host that may be used all day: of a burstable host its baseline (30 % of each for a
            t3.large, https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-credits-baseline-concepts.html).
        least_hosts: MinHosts, or the one.
        most_hosts: MaxHosts, or the one.
        replicas: Of each service at least. 0: all services share the host.
        disk_gb: Of a host.
        nats: NAT gateways.
        endpoints: Interface endpoints, each in two zones.
        node: Type of Valkey's nodes.
        nodes: How many.
        keep_days: For how long uploads are kept.
        metrics: That the agent publishes (with all of their dimensions): assumed, a line at work has about so many.
        alarm_metrics: Metrics that alarms look at.
        log_gb: Logs of a month without any load, those of the network too: assumed.
    """

    name: str
    instance: str
    cores: float
    least_hosts: int
    most_hosts: int
    replicas: int
    disk_gb: int
    nats: int
    endpoints: int
    node: str
    nodes: int
    keep_days: int
    metrics: int
    alarm_metrics: int
    log_gb: float


SMALL: Final = Shape("small", "t3.large", 0.6, 1, 1, 0, 40, 1, 0, "cache.t4g.small", 1, 90, 0, 7, 5)
PRODUCTION: Final = Shape("production", "m5.xlarge", 4, 2, 4, 2, 60, 2, 11, "cache.m7g.large", 2, 90, 200, 66, 15)
SHAPES: Final = (SMALL, PRODUCTION)

ZONES: Final = 2
SECRETS: Final = 6
KEYS: Final = 1
DASHBOARDS: Final = 3
WAF_RULES: Final = 1
IMAGES_GB: Final = 2.0
# Capacity units of the load balancer without any load, and of each GB an hour besides: assumed.
LEAST_UNITS: Final = 0.2
# A chunk's writes and reads in the ledger. DynamoDB counts the bytes of the whole shard on each write, 256 outcomes at
# most: reckoned from the items' sizes, high.
WRITES_A_CHUNK: Final = 20
READS_A_CHUNK: Final = 20
LOG_BYTES_A_CHUNK: Final = 4_000


@dataclasses.dataclass(frozen=True)
class Part:
    """What one part of a line can do.

    Args:
        name: What it is.
        rows_per_second: That it carries.
        because: Where the figure is from.
    """

    name: str
    rows_per_second: float
    because: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """A line of the month's bill.

    Args:
        name: What is paid.
        dollars: A month.
        because: How much of it.
    """

    name: str
    dollars: float
    because: str


def cpu(wanted: demand.Demand, service: str) -> float:
    """CPU of a service in ms per 1,000 rows of this size."""
    by_tokens, by_values = max(1.0, wanted.tokens / measured.TOKENS), max(1.0, wanted.values / measured.VALUES)
    factor = {"ingest": by_tokens, "envoy": by_tokens, "valkey": by_tokens}.get(service, by_values)
    counting = measured.COUNTING * by_tokens if service == "embedder" and counts_tokens(wanted) else 0.0
    return measured.CPU[service] * factor + counting


def counts_tokens(wanted: demand.Demand) -> bool:
    """Whether texts' bytes alone leave it open that a request has too many tokens."""
    return wanted.tokens * demand.BYTES_A_TOKEN * limits.INPUTS_A_REQUEST > limits.TOKENS_A_REQUEST


def carries(wanted: demand.Demand, service: str) -> float:
    """Rows a second of one replica on what it has of a core, at the load that is planned for."""
    by_cpu = SHARES[service] * measured.LOAD * 1e6 / cpu(wanted, service)
    if service != "embedder":
        return by_cpu
    in_hand = measured.REQUESTS_IN_HAND * limits.rows_a_request(wanted.tokens) / measured.OPENAI_SECONDS
    return min(by_cpu, in_hand)


def replicas(shape: Shape, wanted: demand.Demand) -> dict[str, int]:
    """Tasks of each service; none where all share a host."""
    if not shape.replicas:
        return {}
    needed = {name: wanted.rows_per_second / carries(wanted, name) for name in SERVICES}
    return {name: max(shape.replicas, math.ceil(share)) for name, share in needed.items()}


def hosts(shape: Shape, wanted: demand.Demand) -> int:
    """Hosts that hold these tasks, as many in each zone."""
    tasks = replicas(shape, wanted)
    if not tasks:
        return shape.least_hosts
    cores = AGENT_SHARE + sum(count * SHARES[name] for name, count in tasks.items())
    return max(shape.least_hosts, ZONES * math.ceil(cores / shape.cores / ZONES))


def parts(shape: Shape, wanted: demand.Demand, tier: int) -> list[Part]:
    """What each part carries, the narrowest first: it is the bottleneck."""
    return sorted((*_outside(wanted, tier), *_inside(shape, wanted)), key=lambda part: part.rows_per_second)


def _outside(wanted: demand.Demand, tier: int) -> Iterator[Part]:
    """The providers. What is skipped passes them by."""
    written = 1 - wanted.unchanged_percent / 100
    if not written:
        return
    usable = limits.TIERS[tier] * limits.SHARE_OF_TIER
    rows = usable / 60 / wanted.tokens
    yield Part(f"OpenAI, tier {tier}", rows / written, f"{usable:,.0f} of its {limits.TIERS[tier]:,} tokens a minute")
    upsert = limits.rows_an_upsert(wanted.record_bytes)
    rows = min(limits.UPSERT_BYTES_A_SECOND / wanted.record_bytes, limits.UPSERTS_A_SECOND * upsert)
    yield Part("Pinecone", rows * wanted.namespaces / written, f"50 MB/s and 100 upserts/s, {_namespaces(wanted)}")


def _namespaces(wanted: demand.Demand) -> str:
    return "one namespace" if wanted.namespaces == 1 else f"{wanted.namespaces:,} namespaces"


def _inside(shape: Shape, wanted: demand.Demand) -> Iterator[Part]:
    """Our own processes."""
    tasks = replicas(shape, wanted)
    for name, count in tasks.items():
        because = f"{count} of {SHARES[name]:g} virtual CPU at {measured.LOAD:.0%}, {measured.SOURCE}"
        yield Part(name, count * carries(wanted, name), because)
    if not tasks:
        whole = sum(cpu(wanted, name) for name in SERVICES)
        because = f"{shape.cores:g} virtual CPUs all day at {measured.LOAD:.0%}, {measured.SOURCE}"
        yield Part(f"the host, {shape.instance}", shape.cores * measured.LOAD * 1e6 / whole, because)
    yield Part("Valkey", measured.LOAD * 1e6 / cpu(wanted, "valkey"), f"one thread, {measured.SOURCE}")
    split = measured.SPLIT * max(1.0, wanted.tokens / measured.TOKENS)
    yield Part("one file", 1e6 / split, f"one ingest splits it, {measured.SOURCE}; several files pass side by side")


def bill(shape: Shape, wanted: demand.Demand) -> list[Cost]:
    """A month, line by line."""
    return [*_providers(wanted), *_machines(shape, wanted), *_traffic(shape, wanted), *_storage(shape, wanted)]


def _providers(wanted: demand.Demand) -> Iterator[Cost]:
    days = prices.DAYS_A_MONTH
    tokens = wanted.tokens_per_day * days / 1e6
    yield Cost("OpenAI", tokens * prices.of(wanted.model), f"{tokens:,.0f} M tokens of {wanted.model}")
    writes, reads = wanted.write_units_per_day * days / 1e6, wanted.read_units_per_day * days / 1e6
    stored = wanted.kept_rows * wanted.record_bytes / GB
    costs = [
        Cost("Pinecone, writing", writes * prices.of("pinecone write units"), f"{writes:,.1f} M write units"),
        Cost("Pinecone, searches", reads * prices.of("pinecone read units"), f"{reads:,.1f} M read units"),
        Cost("Pinecone, storage", stored * prices.of("pinecone storage"), f"{stored:,.1f} GB after a month"),
    ]
    yield from costs
    short = prices.of("pinecone least") - sum(each.dollars for each in costs)
    yield Cost("Pinecone, up to its minimum", max(0.0, short), f"${prices.of('pinecone least'):.0f} a month (Standard)")


def _machines(shape: Shape, wanted: demand.Demand) -> Iterator[Cost]:
    count, month = hosts(shape, wanted), prices.HOURS_A_MONTH
    yield Cost("hosts", count * month * prices.of(shape.instance), f"{count} of {shape.instance}")
    yield Cost("disks", count * shape.disk_gb * prices.of("gp3"), f"{count} of {shape.disk_gb} GB")
    yield Cost("Valkey", shape.nodes * month * prices.of(shape.node), f"{shape.nodes} of {shape.node}")
    gigabytes = wanted.row_bytes * wanted.rows_per_day * prices.DAYS_A_MONTH / GB
    units = LEAST_UNITS + gigabytes / month
    dollars = month * (prices.of("load balancer") + units * prices.of("load balancer unit"))
    yield Cost("load balancer", dollars, f"{units:,.1f} capacity units")
    addresses = ZONES + shape.nats
    yield Cost("public addresses", addresses * month * prices.of("address"), f"{addresses}")
    yield Cost("firewall", prices.of("waf") + WAF_RULES * prices.of("waf rule"), "a web ACL with a rule")
    yield Cost("NAT", shape.nats * month * prices.of("nat"), f"{shape.nats}")
    zones = shape.endpoints * ZONES
    yield Cost("endpoints of AWS", zones * month * prices.of("endpoint"), f"{shape.endpoints} in {ZONES} zones")


def _traffic(shape: Shape, wanted: demand.Demand) -> Iterator[Cost]:
    rows = wanted.written_per_day * prices.DAYS_A_MONTH
    vectors = rows * wanted.values * demand.BYTES_A_VALUE / GB
    texts = rows * wanted.tokens * demand.BYTES_A_TOKEN / GB
    out = texts + rows * wanted.record_bytes / GB
    passed = out + vectors * BASE64
    yield Cost("traffic through the NAT", passed * prices.of("nat traffic"), f"{passed:,.1f} GB, OpenAI's answers too")
    yield Cost("traffic out", out * prices.of("internet"), f"{out:,.1f} GB to OpenAI and Pinecone")
    across = (
        (vectors + wanted.row_bytes * wanted.rows_per_day * prices.DAYS_A_MONTH / GB * 2) / 2 if shape.replicas else 0
    )
    yield Cost("traffic between zones", across * prices.of("zones"), f"{across:,.1f} GB, half of what is handed on")


def _storage(shape: Shape, wanted: demand.Demand) -> Iterator[Cost]:
    chunks = math.ceil(wanted.rows_per_day / ROWS_A_CHUNK) * prices.DAYS_A_MONTH
    writes, reads = chunks * WRITES_A_CHUNK / 1e6, chunks * READS_A_CHUNK / 1e6
    dollars = writes * prices.of("dynamodb writes") + reads * prices.of("dynamodb reads")
    yield Cost("DynamoDB", dollars, f"{writes:,.1f} M write and {reads:,.1f} M read units")
    kept = wanted.rows_per_day * wanted.row_bytes * shape.keep_days / GB
    yield Cost("S3", kept * prices.of("s3"), f"{kept:,.1f} GB of uploads, kept for {shape.keep_days} days")
    logs = shape.log_gb + chunks * LOG_BYTES_A_CHUNK / GB
    yield Cost("logs", logs * prices.of("logs"), f"{logs:,.1f} GB")
    seen: Mapping[str, tuple[int, str]] = {
        "metrics": (shape.metrics, "metric"),
        "alarms": (shape.alarm_metrics, "alarm"),
        "dashboards": (DASHBOARDS if shape.metrics else 0, "dashboard"),
    }
    for name, (count, price) in seen.items():
        yield Cost(name, count * prices.of(price), f"{count}")
    yield Cost("secrets", SECRETS * prices.of("secret") + KEYS * prices.of("key"), f"{SECRETS} and a key")
    yield Cost("images", IMAGES_GB * prices.of("registry"), f"{IMAGES_GB:g} GB")

"""A demand, and what it comes to on each line."""

from __future__ import annotations

import dataclasses

from cli.planning import availability, demand, limits, lines, prices


@dataclasses.dataclass(frozen=True)
class Quota:
    """What of OpenAI is needed.

    Args:
        tier: The lowest usage tier that suffices, or the one that was asked for.
        suffices: Whether it does. Where even the highest does not, OpenAI has to be asked for more.
        tokens_per_minute: What is needed, on average over the hours.
        tier_tokens_per_minute: What the tier allows.
        requests_per_second: Full requests that are needed.
    """

    tier: int
    suffices: bool
    tokens_per_minute: float
    tier_tokens_per_minute: int
    requests_per_second: float


@dataclasses.dataclass(frozen=True)
class Pinecone:
    """What of Pinecone is needed: units a day, and what is stored after a month."""

    write_units_per_day: float
    read_units_per_day: float
    record_bytes: int
    stored_gb: float


@dataclasses.dataclass(frozen=True)
class Line:
    """A line that is meant to carry it.

    Args:
        instance: Type of its hosts.
        hosts: How many.
        replicas: Tasks of each service; none: all share the host.
        carries: Whether each of its parts does.
        remedies: What would have to change.
        bottleneck: The part that gives way first; `parts` has all, the narrowest first.
        dollars: A month, all in all; `bill` has the lines.
        availability: By the kind of call.
    """

    instance: str
    hosts: int
    replicas: dict[str, int]
    carries: bool
    remedies: tuple[str, ...]
    bottleneck: lines.Part
    parts: tuple[lines.Part, ...]
    dollars: float
    bill: tuple[lines.Cost, ...]
    availability: dict[str, availability.Path]


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of it. `prices` is the table that was reckoned with."""

    demand: demand.Demand
    rows_per_second: float
    quota: Quota
    pinecone: Pinecone
    small: Line
    production: Line
    promises: dict[str, availability.Promise]
    prices: dict[str, prices.Price]


def plan(wanted: demand.Demand) -> Plan:
    """Work it out."""
    tier = wanted.tier or limits.tier_for(wanted.tokens_per_minute) or max(limits.TIERS)
    quota = Quota(
        tier=tier,
        suffices=wanted.tokens_per_minute <= limits.TIERS[tier] * limits.SHARE_OF_TIER,
        tokens_per_minute=wanted.tokens_per_minute,
        tier_tokens_per_minute=limits.TIERS[tier],
        requests_per_second=wanted.written_per_second / limits.rows_a_request(wanted.tokens),
    )
    return Plan(
        demand=wanted,
        rows_per_second=wanted.rows_per_second,
        quota=quota,
        pinecone=Pinecone(
            write_units_per_day=wanted.write_units_per_day,
            read_units_per_day=wanted.read_units_per_day,
            record_bytes=wanted.record_bytes,
            stored_gb=wanted.kept_rows * wanted.record_bytes / lines.GB,
        ),
        small=_line(lines.SMALL, wanted, tier),
        production=_line(lines.PRODUCTION, wanted, tier),
        promises=dict(availability.PROMISES),
        prices=dict(prices.TABLE),
    )


def _line(shape: lines.Shape, wanted: demand.Demand, tier: int) -> Line:
    found = lines.parts(shape, wanted, tier)
    hosts = lines.hosts(shape, wanted)
    bill = lines.bill(shape, wanted)
    narrow = [part for part in found if part.rows_per_second < wanted.rows_per_second]
    remedies = [_remedy(part, wanted) for part in narrow]
    if hosts > shape.most_hosts:
        remedies.append(f"MaxHosts of {shape.name}.json must be {hosts}, and is {shape.most_hosts}")
    return Line(
        instance=shape.instance,
        hosts=hosts,
        replicas=lines.replicas(shape, wanted),
        carries=not narrow,
        remedies=tuple(remedies),
        bottleneck=found[0],
        parts=tuple(found),
        dollars=sum(each.dollars for each in bill),
        bill=tuple(bill),
        availability=availability.paths(shape.name),
    )


def _remedy(part: lines.Part, wanted: demand.Demand) -> str:
    given = f"{part.name} carries {part.rows_per_second:,.0f} of {wanted.rows_per_second:,.0f} rows/s"
    what = {
        "OpenAI": "a higher tier, more hours, or a larger quota that OpenAI grants",
        "Pinecone": f"more namespaces than {wanted.namespaces:,}, or more hours",
        "Valkey": "a second line with a Valkey of its own, and its share of the quota",
        "one file": "several files side by side",
        "the host": "production",
    }
    found = next((words for name, words in what.items() if part.name.startswith(name)), "more replicas")
    return f"{given}: {found}"

"""`vectorline plan`: its arithmetic against what is known from elsewhere, and what it says where nothing fits."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
import sys

import hypothesis
import pytest
from hypothesis import strategies

from cli.planning import availability, demand, limits, lines, measured, plan, prices
from services.billing import prices as configured
from services.billing import units
from tests.support import examples

ROOT = pathlib.Path(__file__).resolve().parents[3]


def cost(line: plan.Line, name: str) -> float:
    return next(each.dollars for each in line.bill if each.name == name)


def month(dollars_a_million: float, rows_per_day: int) -> float:
    return dollars_a_million * rows_per_day / 1e6 * prices.DAYS_A_MONTH


@pytest.mark.parametrize("rows", [2_000_000, 10_000_000])
def test_a_million_rows_cost_what_the_bill_of_a_million_rows_says(rows: int) -> None:
    """docs/bill.md: $1.28 and $28.60; the same again $57.10."""
    first = plan.plan(demand.Demand(rows)).production
    again = plan.plan(demand.Demand(rows, replaced_percent=100)).production
    assert cost(first, "OpenAI") == pytest.approx(month(1.28, rows))
    assert cost(first, "Pinecone, writing") == pytest.approx(month(28.6, rows), rel=0.005)
    assert cost(again, "Pinecone, writing") == pytest.approx(month(57.1, rows), rel=0.005)
    assert cost(again, "Pinecone, storage") == 0
    assert first.dollars == pytest.approx(sum(each.dollars for each in first.bill))


def test_ten_million_rows_a_day_are_a_matter_of_the_quota_and_of_the_hours() -> None:
    whole_day, night = plan.plan(demand.Demand(10_000_000)), plan.plan(demand.Demand(10_000_000, hours=4))
    assert whole_day.quota.tokens_per_minute == pytest.approx(10_000_000 * 64 / 1_440)
    assert (whole_day.quota.tier, night.quota.tier) == (1, 3)
    assert night.rows_per_second == pytest.approx(694.4, abs=0.1)
    assert night.production.bottleneck.name == "OpenAI, tier 3"
    assert night.production.carries
    assert night.small.carries
    tight = plan.plan(demand.Demand(10_000_000, hours=4, tier=1))
    assert not tight.quota.suffices
    assert not tight.production.carries
    assert "OpenAI, tier 1 carries 234 of 694 rows/s" in tight.production.remedies[0]


def test_no_rows_cost_what_stands_there_and_the_minimum_of_pinecone() -> None:
    nothing = plan.plan(demand.Demand(0))
    assert nothing.quota.tokens_per_minute == nothing.pinecone.write_units_per_day == 0
    for line in (nothing.small, nothing.production):
        assert line.carries
        assert line.bottleneck.rows_per_second > 0
        assert [each.name for each in line.bill if each.name.startswith(("OpenAI", "Pinecone")) and each.dollars] == [
            "Pinecone, up to its minimum"
        ]
        assert cost(line, "Pinecone, up to its minimum") == 50
        assert 100 < line.dollars < 1_500


def test_unchanged_rows_are_read_and_neither_bought_nor_written() -> None:
    made = plan.plan(demand.Demand(2_000_000, unchanged_percent=100))
    assert cost(made.production, "OpenAI") == cost(made.production, "Pinecone, writing") == 0
    assert not [part for part in made.production.parts if part.name.startswith(("OpenAI", "Pinecone"))]
    tenth = plan.plan(demand.Demand(2_000_000, unchanged_percent=90)).production
    whole = plan.plan(demand.Demand(2_000_000)).production
    assert cost(tenth, "Pinecone, writing") == pytest.approx(cost(whole, "Pinecone, writing") / 10)
    assert cost(tenth, "S3") == cost(whole, "S3")


def test_more_than_anybody_sells_is_said_to_be_so_with_what_would_have_to_change() -> None:
    made = plan.plan(demand.Demand(10**12))
    told = " · ".join(made.production.remedies)
    assert not made.quota.suffices
    assert not made.production.carries
    for words in ("OpenAI, tier 5", "Pinecone", "Valkey", "one file", "MaxHosts"):
        assert words in told
    assert "production" in " · ".join(made.small.remedies)


def test_the_hosts_hold_the_tasks_as_many_in_each_zone() -> None:
    for rows in (0, 2_000_000, 10**9, 10**10):
        line = plan.plan(demand.Demand(rows)).production
        tasks = lines.AGENT_SHARE + sum(count * lines.SHARES[name] for name, count in line.replicas.items())
        assert line.hosts % 2 == 0
        assert (
            line.hosts * lines.PRODUCTION.cores >= tasks > (line.hosts - 2) * lines.PRODUCTION.cores or line.hosts == 2
        )
        assert min(line.replicas.values()) >= 2
        carried = {part.name: part.rows_per_second for part in line.parts}
        assert all(carried[name] >= rows / 86_400 for name in line.replicas), "replicas are those that it takes"


@hypothesis.given(
    rows=strategies.integers(0, 10**9),
    tokens=strategies.floats(1, limits.TOKENS_AN_INPUT),
    values=strategies.integers(1, 4_096),
    unchanged=strategies.floats(0, 100),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_twice_the_rows_cost_no_less_and_less_than_twice_as_much(
    rows: int, tokens: float, values: int, unchanged: float
) -> None:
    once, twice = (
        plan.plan(demand.Demand(count, tokens=tokens, values=values, unchanged_percent=unchanged))
        for count in (rows, 2 * rows)
    )
    for line, more in ((once.small, twice.small), (once.production, twice.production)):
        assert math.isfinite(line.dollars)
        assert line.dollars <= more.dollars + 1e-9
        if more.hosts == line.hosts:
            assert more.dollars <= 2 * line.dollars
        assert line.parts == tuple(sorted(line.parts, key=lambda part: part.rows_per_second))


def test_units_are_those_of_the_bill() -> None:
    for values, metadata in ((1_536, 1_000), (256, 0), (3_072, 40_960), (1, 0)):
        wanted = demand.Demand(1_000_000, values=values, metadata_bytes=metadata, replaced_percent=100)
        rows = limits.rows_an_upsert(wanted.record_bytes)
        upsert = rows * wanted.record_bytes
        each = (units.of_upsert(upsert) + upsert / units.KB) / rows
        assert wanted.write_units_per_day == pytest.approx(1_000_000 * each, rel=1e-6)


def test_prices_of_tokens_and_units_are_the_lines_own() -> None:
    own = configured.PriceSettings().prices
    for model, dollars in own.openai.items():
        assert prices.of(model) == dollars
    assert prices.of("pinecone write units") == own.pinecone["write_units"]
    assert prices.of("pinecone read units") == own.pinecone["read_units"]


def test_every_price_has_a_day_and_a_source() -> None:
    for name, price in prices.TABLE.items():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", price.seen), name
        assert price.source.startswith("https://"), name
        assert price.dollars > 0, name


def test_what_a_row_costs_is_what_the_document_of_performance_measured() -> None:
    """Within a third: it is measured anew now and then, on machines that differ."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    whole = float(re.search(r"CPU of all our processes per 1,000 rows \|[^|]*\|[^|]*\| ([\d.]+) ms", text)[1])
    stages = re.findall(r"^\| (ingest|embedder|indexer) \| [a-z_ ]+ \| ([\d.]+) \|", text, re.MULTILINE)
    for service in ("ingest", "embedder", "indexer"):
        found = sum(float(ms) for name, ms in stages if name == service)
        assert measured.CPU[service] == pytest.approx(found, rel=1 / 3), service
    assert sum(measured.CPU.values()) == pytest.approx(whole, rel=1 / 3)


# ---- availability


def test_a_status_can_be_promised_and_nothing_that_waits_for_openai() -> None:
    small, production = availability.paths("small"), availability.paths("production")
    assert production["status"].percent == pytest.approx(100 * 0.9999**3, abs=0.001)
    assert production["status"].holds
    assert small["status"].percent == pytest.approx(100 * 0.9999**2 * 0.995, abs=0.001)
    assert not small["status"].holds
    accepted = production["load, accepted"]
    assert accepted.percent == pytest.approx(100 * 0.9999**4 * 0.999, abs=0.001)
    assert not accepted.holds, "S3's own promise is 99.9 %"
    assert accepted.minutes == pytest.approx(43_800 * (1 - 0.9999**4 * 0.999), abs=0.1)
    for line in (small, production):
        for path in ("search", "load, finished in time"):
            assert line[path].percent is None
            assert line[path].without == ("OpenAI", "Pinecone")


# ---- the command


def test_it_needs_no_line_and_says_all_of_it_in_one_look(run, monkeypatch) -> None:
    monkeypatch.delenv("GATEWAY_URL", raising=False)
    told = run("plan", "--rows-per-day", "2000000", "--tokens", "64", "--values", "1536")
    assert told.exit_code == 0, told.output
    for words in ("tier 1", "2 m5.xlarge", "1 t3.large", "gives way first", "in all", "can be promised", "99.97 %"):
        assert words in told.stdout


def test_json_has_every_line_and_fields_chooses(run) -> None:
    whole = json.loads(run("plan", "--rows-per-day", "2000000", "--json").stdout)
    assert whole["production"]["bottleneck"]["name"] == "OpenAI, tier 1"
    assert {each["name"] for each in whole["small"]["bill"]} == {each["name"] for each in whole["production"]["bill"]}
    assert whole["prices"]["t3.large"]["source"].startswith("https://")
    chosen = run("plan", "--rows-per-day", "2000000", "--fields", "quota.tier,small.dollars")
    assert list(json.loads(chosen.stdout)) == ["quota.tier", "small.dollars"]
    assert run("plan", "--rows-per-day", "2000000", "--fields", "quota.tear").exit_code == 2


def test_what_no_line_carries_ends_with_1(run) -> None:
    assert run("plan", "--rows-per-day", "2000000000").exit_code == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--rows-per-day", "-1"), "rows_per_day must be 0 to 1,000,000,000,000, and is -1."),
        (("--rows-per-day", "10000000000000"), "rows_per_day must be"),
        (("--rows-per-day", "many"), "Invalid value for"),
        (("--rows-per-day", "1", "--tokens", "0"), "tokens must be 1 to 8,192, and is 0"),
        (("--rows-per-day", "1", "--tokens", "nan"), "tokens must be"),
        (("--rows-per-day", "1", "--tokens", "inf"), "tokens must be"),
        (("--rows-per-day", "1", "--values", "0"), "values must be 1 to 20,000"),
        (("--rows-per-day", "1", "--metadata-bytes", "99999"), "metadata_bytes must be 0 to 40,960"),
        (("--rows-per-day", "1", "--hours", "0"), "hours must be 0.1 to 24"),
        (("--rows-per-day", "1", "--hours", "25"), "hours must be"),
        (("--rows-per-day", "1", "--unchanged", "101"), "unchanged_percent must be 0 to 100"),
        (("--rows-per-day", "1", "--replaced", "-1"), "replaced_percent must be"),
        (("--rows-per-day", "1", "--stored-rows", "-1"), "stored_rows must be"),
        (("--rows-per-day", "1", "--searches-per-day", "-1"), "searches_per_day must be"),
        (("--rows-per-day", "1", "--namespaces", "0"), "namespaces must be"),
        (("--rows-per-day", "1", "--tier", "6"), "tier must be 1 to 5"),
        (("--rows-per-day", "1", "--model", "ada"), "model must be one of text-embedding-3-small"),
        ((), "--rows-per-day"),
    ],
)
def test_nonsense_is_named_with_its_limits(run, given: tuple[str, ...], told: str) -> None:
    result = run("plan", *given)
    assert result.exit_code == 2
    assert told in result.stderr


def test_the_document_says_what_the_command_says(tmp_path: pathlib.Path) -> None:
    tool = tmp_path / "vectorline"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    assert examples.run(ROOT / "docs" / "capacity.md", {}, folder=tmp_path, environment=environment) == 2

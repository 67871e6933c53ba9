from __future__ import annotations

import json

from vectorline.v1 import bill_pb2, monitoring_pb2

from tests.unit.cli import fake_line

PAID = bill_pb2.Bill(
    tokens=64_112,
    openai_dollars=0.00128,
    write_units=7_201_000,
    read_units=1,
    pinecone_dollars=28.804,
    at_most=bill_pb2.BillBound(tokens=64_112, openai_dollars=0.00128, write_units=14_402_000, pinecone_dollars=57.6),
)
UNPRICED = bill_pb2.Bill(tokens=5, write_units=5, read_units=0.25, pinecone_dollars=0.00002)


def overview(*entries):
    made = monitoring_pb2.BillOverview(hours=24, total=PAID)
    for day, client, bill in entries:
        made.entries.add(day=day, client=client, namespace="v2", bill=bill)
    return made


def test_the_bill_has_a_line_for_each_day_key_and_namespace_and_the_sum(run, line):
    line.answers["GetBill"] = overview(("2026-11-30", "ann", PAID), ("2026-11-29", "bob", UNPRICED))
    told = run("bill", "--hours", "48")
    assert told.exit_code == 0, told.output
    assert line.requests[0].hours == 48
    ann, bob, total = told.stdout.splitlines()[1:]
    assert ann.split() == ["2026-11-30", "ann", "v2", "64,112", "$0.001280", "7,201,000", "1", "$28.80", "$57.60"]
    assert bob.split() == ["2026-11-29", "bob", "v2", "5", "?", "5", "0.25", "$0.000020"]
    assert total.startswith("in all")


def test_no_bill_is_said_to_be_none(run, line):
    line.answers["GetBill"] = overview()
    assert "Nothing was spent on the days of the last 24 hours." in run("bill").stdout


def test_a_tasks_bill_names_both_shares_and_what_it_may_come_to(run, line):
    line.answers["GetTask"] = fake_line.task(bill=PAID)
    words = "$28.81, at most $57.60: $0.001280 OpenAI (64,112 tokens) + $28.80 Pinecone (7,201,000 write, 1 read units)"
    assert run("bill", fake_line.TASK_ID).stdout.strip().replace("\n", " ") == words
    assert json.loads(run("bill", fake_line.TASK_ID, "--json").stdout)["at_most"]["write_units"] == 14_402_000
    assert "$28.81, at most $57.60" in run("status", fake_line.TASK_ID).stdout


def test_hours_of_one_task_are_refused(run, line):
    told = run("bill", fake_line.TASK_ID, "--hours", "3")
    assert told.exit_code == 2
    assert not line.calls

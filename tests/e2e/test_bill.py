"""Our bill against what the stand-ins for OpenAI and Pinecone count: within 2 %, or within the range that it names."""

import signal
from typing import Any

import httpx
import pytest

from tests.support import csvs
from tests.support.line import Line, wait_for

ROWS = 3_000
CLOSE = 0.02


def pinecone(line: Line, namespace: str, op: str = "upsert") -> float:
    """Units that the stand-in billed for a namespace: written for upserts, read for all else."""
    url = f"{line.endpoints['PINECONE_CONTROLLER_HOST']}/_sandbox/requests"
    calls = httpx.get(url, params={"op": op, "limit": 100_000}, timeout=60).json()["requests"]
    unit = "write_units" if op == "upsert" else "read_units"
    return float(sum(call[unit] for call in calls if call["namespace"] == namespace))


def tokens_of(line: Line) -> float:
    """Tokens that the stand-in for OpenAI billed since it was told to forget."""
    return float(line.purchases()["summary"]["tokens_bought"])


def settled(line: Line, task_id: str) -> dict[str, Any]:
    """The bill of a finished task, once what was paid besides its settlements is in it as well."""
    line.finished(task_id)
    seen: list[dict[str, Any]] = []

    def same() -> dict[str, Any] | None:
        seen.append(line.task(task_id)["bill"])
        return seen[-1] if len(seen) > 50 and seen[-1] == seen[-50] else None

    return wait_for("a bill that stays", same, 60)


def chunks_settled(line: Line, task_id: str) -> int:
    """So far; 0 while no indexer answers."""
    answer = line.rest.get(f"/api/v1/status/{task_id}")
    return int(answer.json()["progress"]["chunks_completed"]) if answer.is_success else 0


def test_a_first_load_is_billed_to_the_unit(line: Line) -> None:
    line.forget()
    content = csvs.of(csvs.rows(ROWS))
    estimate = line.rest.post(
        "/api/v1/upload/bill.csv", params={"question_id": 232, "namespace": "bill", "estimate": True}, content=content
    ).json()["estimate"]["bill"]

    bill = settled(line, line.upload(content, namespace="bill"))

    written = pinecone(line, "bill")
    assert bill["write_units"] == pytest.approx(written, rel=0.001)
    assert bill["tokens"] == tokens_of(line)
    assert "at_most" not in bill, "the namespace was empty: nothing was replaced"
    assert bill["openai_dollars"] == pytest.approx(bill["tokens"] * 0.02 / 1e6)
    assert bill["pinecone_dollars"] == pytest.approx((bill["write_units"] * 4 + bill["read_units"] * 16) / 1e6)
    assert bill["texts_bought"] + bill["texts_reused"] == ROWS
    # And the estimate before had said so.
    assert estimate["tokens"] == bill["tokens"]
    assert estimate["write_units"] == pytest.approx(written, rel=CLOSE)
    assert (estimate["texts_bought"], estimate["texts_reused"]) == (bill["texts_bought"], bill["texts_reused"])


def later_state(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Of a hundred rows one has another text; the first is gone, and there is a new one."""
    changed: list[tuple[str, ...]] = [
        (id_, f"{text} Now." if number % 100 == 50 else text, *rest) for number, (id_, text, *rest) in enumerate(rows)
    ]
    return [*changed[1:], *csvs.rows(1, first=len(rows) + 1)]


def test_a_second_load_pays_for_what_has_changed_and_a_forced_one_for_all(line: Line) -> None:
    rows = csvs.rows(ROWS)
    content, later = csvs.of(rows), csvs.of(later_state(rows))
    bought = ROWS // 100 + 1
    first = [settled(line, line.upload(content, namespace=name)) for name in ("again", "forced")]
    written = {name: pinecone(line, name) for name in ("again", "forced")}
    read = {op: pinecone(line, "again", op) for op in ("list", "query", "fetch")}
    line.forget()

    def estimated() -> dict[str, Any] | None:
        """Once the first load is merged into what is known."""
        asked = {"question_id": 232, "namespace": "again", "estimate": True}
        found = line.rest.post("/api/v1/upload/bill.csv", params=asked, content=later).json()["estimate"]
        return found if found["unchanged"] else None

    estimate = wait_for("a merge", estimated)
    again, forced = (line.upload(later, namespace="again"), line.upload(later, namespace="forced", mode="force"))
    bill, whole = settled(line, again), settled(line, forced)

    told = line.task(again)["progress"]
    assert (told["processed_records"], told["unchanged_records"]) == (bought, ROWS - bought)
    assert line.task(forced)["progress"]["processed_records"] == ROWS
    assert bill["tokens"] + whole["tokens"] == tokens_of(line)
    assert bill["tokens"] < first[0]["tokens"] / 50
    for name, found in (("again", bill), ("forced", whole)):
        # Of each row it is known whether it replaces another, though not how the index rounds.
        assert found.get("at_most", found)["write_units"] == pytest.approx(found["write_units"], rel=0.001)
        assert found["write_units"] == pytest.approx(pinecone(line, name) - written[name], rel=0.001)
    # A question, a query for the position of the log, and a look at 1,000 of the records that are left as they are.
    assert bill["read_units"] == sum(pinecone(line, "again", op) - read[op] for op in read) == 101.25
    # And the estimate before had said so.
    assert (estimate["usable"], estimate["unchanged"]) == (bought, ROWS - bought)
    assert estimate["bill"]["tokens"] == bill["tokens"]
    assert estimate["bill"]["write_units"] == pytest.approx(bill["write_units"], rel=CLOSE)
    assert estimate["bill"]["read_units"] == bill["read_units"]
    assert "at_most" not in estimate["bill"]


def test_another_questions_rows_replace_nothing(line: Line) -> None:
    content = csvs.of(csvs.rows(500))
    settled(line, line.upload(content, namespace="two"))
    first = pinecone(line, "two")

    bill = settled(line, line.upload(content, namespace="two", question_id=2_320))

    assert "at_most" not in bill
    assert bill["write_units"] == pytest.approx(pinecone(line, "two") - first, rel=0.001)


def test_the_truth_stays_within_the_range_when_processes_are_killed(line: Line) -> None:
    """An embedder takes along what it had bought and not told, an indexer what it had written: the range has both."""
    line.forget()
    task_id = line.upload(csvs.of(csvs.rows(20_000)), namespace="killed-bill")
    wait_for("a settled chunk", lambda: line.task(task_id)["progress"]["chunks_completed"] >= 2)
    line.kill("indexer-1", signal.SIGKILL)
    wait_for("more chunks", lambda: chunks_settled(line, task_id) >= 6)
    line.kill("embedder-1", signal.SIGKILL)

    bill = settled(line, task_id)

    written, tokens, most = pinecone(line, "killed-bill"), tokens_of(line), bill["at_most"]
    assert bill["write_units"] * (1 - CLOSE) <= written <= most["write_units"] * (1 + CLOSE)
    assert bill["tokens"] * (1 - CLOSE) <= tokens <= most["tokens"] * (1 + CLOSE)
    # The range is no excuse: it is as wide as what was in hand.
    assert most["write_units"] < 3 * bill["write_units"]


def test_what_a_cancelled_task_bought_is_in_its_bill(line: Line) -> None:
    line.forget()
    task_id = line.upload(csvs.of(csvs.rows(30_000)), namespace="cancelled-bill")
    wait_for("a settled chunk", lambda: line.task(task_id)["progress"]["chunks_completed"] >= 1)
    line.rest.delete(f"/api/v1/task/{task_id}").raise_for_status()

    bill = settled(line, task_id)

    written, tokens = pinecone(line, "cancelled-bill"), tokens_of(line)
    most = bill.get("at_most", bill)
    assert bill["tokens"] * (1 - CLOSE) <= tokens <= most["tokens"] * (1 + CLOSE)
    assert bill["write_units"] * (1 - CLOSE) <= written <= most["write_units"] * (1 + CLOSE)

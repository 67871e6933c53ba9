import dataclasses
import datetime
import gzip
import random
from typing import Any

import pytest

from services.ingest import failures
from services.ingest.contract import context
from services.ingest.planning import duplicates, firsts, plan
from tests.unit.ingest import support

TEXTS = ["good", "fine", "", " ", "<b></b>", "&nbsp;", "word " * 9_000]


def check(loaded: support.Loaded) -> dict[int, str]:
    """Of each id the first row that can be loaded is loaded, and every later one names it; returns reasons by row."""
    again = loaded.rebuilt(1, loaded.plan.rows_total)
    usable: dict[str, int] = {}
    pairs = duplicates.read(loaded.sidecar)
    for row in again:
        row_id = row.cells[0].strip()
        if not row.reason:
            assert row_id not in usable
            usable[row_id] = row.row_number
        elif row.reason == "duplicate_id":
            assert f"Row {usable[row_id]:,} " in row.message
            assert pairs.pop(row.row_number) == usable[row_id]
    assert not pairs
    for row in again:
        if row.cells[0].strip() not in usable:
            assert row.reason != "duplicate_id"
    return {row.row_number: row.reason for row in again}


@pytest.mark.parametrize("seed", range(12))
def test_of_each_id_the_first_row_that_can_be_loaded_counts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 2)
    monkeypatch.setattr(firsts, "_SLICE", 7)
    monkeypatch.setattr(duplicates, "_HELD_IDS", 50)
    rng = random.Random(seed)
    weights = rng.choice([[9, 9, 1, 1, 1, 1, 0.1], [1, 1, 9, 9, 9, 9, 0.1], [0, 0.02, 9, 9, 9, 9, 0.1]])
    known = rng.choice([1, 5, 200])
    rows = [
        f"{rng.randrange(known)}{rng.choice(['', ' '])},{rng.choices(TEXTS, weights)[0]}{rng.choice(['', ',ragged'])}"
        for _ in range(rng.choice([40, 700]))
    ]
    data = ("id,formatted_text\n" + "\n".join(rows) + "\n").encode()
    loaded = support.load(data, chunk_size=rng.choice([1, 3, 100]), piece_bytes=rng.choice([50, 1_000, 1 << 20]))
    reasons = check(loaded)
    packed = support.load(gzip.compress(data), chunk_size=loaded.plan.chunk_size)
    assert check(packed) == reasons
    assert packed.sidecar == loaded.sidecar


@pytest.mark.parametrize(
    ("first", "reason", "chosen"),
    [
        ("1,,x", "empty_text", {}),
        ("1,<i> </i>,x", "empty_text", {}),
        ("1,NULL,x", "empty_text", {"null_values": ("NULL",)}),
        (f"1,{'word ' * 9_000},x", "text_too_long", {}),
        (f"1,a,{'x' * 41_000}", "metadata_too_large", {}),
        ("1,a,soon", "bad_date", {"date_column": "n", "start_date": datetime.date(2025, 1, 1)}),
        ("1,a,2024-01-01", "outside_dates", {"date_column": "n", "start_date": datetime.date(2025, 1, 1)}),
        ("1,a,x,y", "ragged_row", {}),
    ],
)  # fmt: skip
def test_whatever_a_row_is_not_loaded_for_it_is_nobodys_first(first: str, reason: str, chosen: dict[str, Any]) -> None:
    loaded = support.load(f"id,formatted_text,n\n{first}\n1,good,2025-01-02\n 1,again,2025-01-03\n", **chosen)
    assert check(loaded) == {1: reason, 2: "", 3: "duplicate_id"}
    assert loaded.plan.duplicates_total == 1


def test_ids_that_only_rejected_rows_have_twice_are_no_duplicates() -> None:
    data = "id,formatted_text\n1,\n1,a\n2,\n2,\n3,b\n"
    assert len(support.load(data, on_duplicate="fail").rows()) == 2
    with pytest.raises(failures.FileFailure, match="row 4 has the id of row 2"):
        support.load("id,formatted_text\n1,\n1,a\n2,\n1,b\n", on_duplicate="fail")


def test_a_file_without_duplicates_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = support.memory.MemorySource.open

    def counted(source: Any, pinned: Any, offset: int) -> Any:
        opened.append(offset)
        return real(source, pinned, offset)

    monkeypatch.setattr(support.memory.MemorySource, "open", counted)
    support.load("id,formatted_text\n1,\n2,a\n")
    assert opened == [0]
    support.load("id,formatted_text\n1,\n1,a\n")
    assert len(opened) == 3


class _OfATask(support.Loaded):
    """As a task has it whose id and time are known only once it is split."""

    @property
    def task(self) -> context.Context:
        known = context.of_any_task(self.options, self.pinned)
        created = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC).strftime(context.TIME_FORMAT)
        return dataclasses.replace(known, task_id="7ef1a5f4-7d7e-4a15-9a3e-0f6ad8a3b1c2", processed_at=created)


def test_metadata_at_the_limit_are_judged_as_the_task_judges_them() -> None:
    filler = "".join(f"f{number},a,\n" for number in range(105))
    outcomes = set()
    for size in range(40_690, 40_790):
        data = f"id,formatted_text,big\n{filler}1,a,{'x' * size}\n1,b,\n"
        scanned = support.load(data, store_text="none", chunk_size=100)
        loaded = _OfATask(**vars(scanned))
        rejected, first = loaded.reasons(), [row.row_number for row in loaded.rows()][105:]
        assert (rejected, first) in [({}, [106]), ({106: "metadata_too_large"}, [107])]
        outcomes.add(first[0])
    assert outcomes == {106, 107}

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import tracemalloc

import pytest

from sandbox.demo import sample, vocabulary


def rows(count: int, **options) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(sample.blocks(count, **options)).decode(), newline="")))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    digest = [hashlib.sha256(b"".join(sample.blocks(700, seed=seed))).hexdigest() for seed in (1, 1, 2)]

    assert digest[0] == digest[1] != digest[2]


def test_a_longer_sample_begins_with_the_shorter_one():
    assert rows(900)[:300] == rows(300)


def test_a_clean_sample_has_unique_ids_and_full_rows():
    clean = rows(3_000, odd=False)

    assert len({row["id"] for row in clean}) == 3_000
    assert all(row[name] for row in clean for name in sample.COLUMNS)
    assert all(None not in row for row in clean)
    assert sample.expected(3_000, odd=False) == sample.Expected(3_000, 3_000, 0, 0)


def test_columns_have_the_types_that_filters_need():
    clean = rows(2_000, odd=False)

    assert all(float(row["price"]) > 0 for row in clean)
    assert all(3 <= float(row["rating"]) <= 5 for row in clean)
    assert {row["in_stock"] for row in clean} == {"true", "false"}
    assert {row["category"] for row in clean} == {category.name for category in vocabulary.CATEGORIES}


@pytest.mark.parametrize("count", [0, 1, 22, 23, 41, 60, 95, 96, 5_000])
def test_what_is_expected_is_what_the_rows_hold(count):
    """Counted here anew, by the contract: a bad row fails, a later row of a good id is skipped."""
    seen: set[str] = set()
    indexed = skipped = failed = 0
    for row in rows(count):
        if not row["id"] or not row["formatted_text"] or None in row:
            failed += 1
        elif row["id"] in seen:
            skipped += 1
        else:
            seen.add(row["id"])
            indexed += 1

    assert sample.expected(count) == sample.Expected(count, indexed, skipped, failed)


def test_the_sample_shows_html_and_a_line_break_in_quotes():
    assert any("<p>" in row["formatted_text"] and "\n" in row["formatted_text"] for row in rows(50))


def test_memory_does_not_grow_with_the_rows():
    tracemalloc.start()
    try:
        for _ in sample.blocks(30_000):  # 10 MB of CSV
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000


def test_the_program_writes_the_same_rows_to_a_file_and_to_stdout(tmp_path):
    program = [sys.executable, "-m", "sandbox.demo.sample", "--rows", "250"]
    subprocess.run([*program, "--out", str(tmp_path / "a.csv")], check=True)
    printed = subprocess.run(program, check=True, capture_output=True).stdout

    assert (tmp_path / "a.csv").read_bytes() == printed == b"".join(sample.blocks(250))

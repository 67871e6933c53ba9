"""The bill of a task that was not submitted."""

from typing import Any

import pytest

from services.billing import spend
from services.ingest.estimating import estimate, forecast
from tests.support import csvs
from tests.unit.ingest import support
from tests.unit.ingest.estimating import test_estimate

DIMENSION = 1_536


def test_what_is_written_is_what_the_task_would_write() -> None:
    data = csvs.of(csvs.rows(2_500))
    found = test_estimate.estimated(data)
    rows = support.load(data).rows()
    spent = forecast.spend_of(found, dimension=DIMENSION, vectors=0)
    size = sum(len(row.vector_id) + len(row.metadata) + 4 * DIMENSION for row in rows)
    common = len(rows) * 150  # the task's own entries, which `rows` leaves out
    assert size / 1_000 < spent.write_units < (size + 2 * common) / 1_000
    assert (spent.tokens, spent.texts_bought, spent.texts_reused) == (found.billed_tokens, 2_500, 0)
    assert (spent.write_units_doubtful, spent.read_thousandths) == (0, 0)


@pytest.mark.parametrize(("vectors", "share"), [(None, 1.0), (10_000, 1.0), (250, 0.25), (0, 0.0)])
def test_what_may_be_replaced_is_no_more_than_is_there(vectors: int | None, share: float) -> None:
    found = test_estimate.estimated(csvs.of(csvs.rows(1_000)))
    spent = forecast.spend_of(found, dimension=DIMENSION, vectors=vectors)
    assert spent.write_units_doubtful == pytest.approx(spent.write_units * share, rel=0.001, abs=1)
    assert spent.read_thousandths == (0 if vectors == 0 else 1_000)


def test_a_comparison_says_what_is_replaced_and_costs_a_sample() -> None:
    def compare(*_: Any) -> estimate.Compared:
        """Half of the rows are as they were, and the other half has changed."""
        return estimate.Compared(lambda first, end: bytes(1 + row % 2 for row in range(first, end)), knows=True)

    data = csvs.of(csvs.rows(3_000))
    whole = forecast.spend_of(test_estimate.estimated(data), dimension=DIMENSION, vectors=0)
    spent = forecast.spend_of(test_estimate.estimated(data, compare=compare), dimension=DIMENSION, vectors=3_000)

    assert spent.write_units == pytest.approx(whole.write_units, rel=0.01)  # half of the rows, written and replaced
    assert (spent.write_units_doubtful, spent.texts_bought) == (0, 1_500)
    # A question, a query for the position of the namespace's log, and a sample of 1,000 records.
    assert spent.read_thousandths == 101_250

    small = test_estimate.estimated(csvs.of(csvs.rows(26)), compare=compare)
    assert forecast.spend_of(small, dimension=DIMENSION, vectors=26).read_thousandths == 3_250


def test_equal_texts_of_a_chunk_are_bought_once_and_written_for_each_row() -> None:
    rows = [(str(number), "always the same words") for number in range(300)]
    found = test_estimate.estimated(csvs.of(rows, header=("id", "formatted_text")), chunk_size=100)
    spent = forecast.spend_of(found, dimension=DIMENSION, vectors=0)
    assert (spent.texts_bought, spent.texts_reused) == (1, 299)
    assert spent.tokens_doubtful == 2 * spent.tokens
    assert spent.write_units > 300 * 6


def test_a_tiny_chunk_costs_an_upsert_of_its_own() -> None:
    found = test_estimate.estimated(b"id,formatted_text\n1,a\n")
    assert forecast.spend_of(found, dimension=2, vectors=0).write_units == 5
    assert forecast.spend_of(test_estimate.estimated(b"id,formatted_text\n"), dimension=2, vectors=0) == spend.NOTHING

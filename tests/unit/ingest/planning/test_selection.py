"""A retry takes the rows it names, in the chunks they had, and nothing else."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from vectorline.v1 import chunk_pb2

from services.ingest.planning import plan, selection
from services.ingest.splitting import split
from tests.unit.ingest import support


@given(st.sets(st.integers(1, 400)))
def test_ranges_hold_exactly_the_rows(rows: set[int]) -> None:
    chosen = selection.Selection.of({0: rows | {1}, 3: {1}})

    assert list(chosen.rows_of(0)) == sorted(rows | {1})
    assert chosen.rows == len(rows | {1}) + 1
    assert chosen.by_source_chunk == {0: 0, 3: 1}


def test_a_plan_with_a_selection_survives_json() -> None:
    made = support.load(b"id,formatted_text\n1,a\n2,b\n", chunk_size=1).plan
    restricted = dataclasses.replace(made, selected=selection.Selection.of({1: [2]}))

    assert plan.Plan.from_json(restricted.to_json()) == restricted
    assert (restricted.task_rows, restricted.task_chunks) == (1, 1)


def test_only_selected_rows_are_split_and_they_are_what_they_were() -> None:
    text = "".join(f"{number},text {number}\n" for number in range(1, 31))
    loaded = support.load(f"id,formatted_text\n{text}".encode(), chunk_size=10)
    whole = {row.row_number: row for message in loaded.messages() for row in message.rows}
    chosen = selection.Selection.of({0: [3, 4], 2: [21, 30]})
    restricted = dataclasses.replace(loaded, plan=dataclasses.replace(loaded.plan, selected=chosen))

    found = restricted.chunks(only=chosen.by_source_chunk.__contains__)
    rows = [row for chunk in found for row in chunk_pb2.ChunkRows.FromString(chunk.payload).rows]

    assert [(chunk.number, chunk.first_row, chunk.rows) for chunk in found] == [(0, 3, 2), (2, 21, 2)]
    assert [row.row_number for row in rows] == [3, 4, 21, 30]
    assert all(row == whole[row.row_number] for row in rows)
    assert isinstance(found[0], split.Chunk)

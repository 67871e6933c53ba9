import dataclasses
import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorline.v1 import chunk_pb2

from services.ingest import failures
from services.ingest.planning import cutter, duplicates, plan, scan
from services.ingest.splitting import split
from tests.unit.ingest import support


def csv_of(rows: int, seed: int = 1) -> bytes:
    """Rows good and bad, long and short, with repeated ids, blank lines and quoted newlines."""
    rng = random.Random(seed)
    lines = ["id,formatted_text,n\n"]
    for number in range(rows):
        kind = rng.random()
        if kind < 0.05:
            lines.append(f"{number},ragged\n")
        elif kind < 0.1:
            lines.append("\n,no id,1\n")
        elif kind < 0.2:
            lines.append(f'{rng.randrange(rows)},"two\nlines é",{number}\n')
        else:
            lines.append(f"{number},{'word ' * rng.randrange(1, 9)},{number}\n")
    return "".join(lines).encode()


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 3)


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(0, 300),
    seed=st.integers(0, 9),
    chunk_size=st.integers(1, 40),
    weight=st.sampled_from([30, 200, 4 << 20]),
    piece_bytes=st.sampled_from([50, 1 << 20]),
)
def test_every_row_is_in_exactly_one_chunk_whatever_the_start(
    rows: int, seed: int, chunk_size: int, weight: int, piece_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHARD_CHUNKS", 3)
        patch.setattr(cutter, "CHUNK_BYTES", weight)
        loaded = support.load(csv_of(rows, seed), chunk_size=chunk_size, piece_bytes=piece_bytes)
        chunks = loaded.chunks()
        assert [chunk.number for chunk in chunks] == list(range(loaded.plan.chunks_total))
        seen = 1
        for chunk, message in zip(chunks, loaded.messages(), strict=True):
            assert chunk.first_row == seen
            assert chunk.rows == len(message.rows) + len(message.rejects) + chunk.skipped
            assert 1 <= chunk.rows <= chunk_size
            seen += chunk.rows
        assert seen - 1 == loaded.plan.rows_total
        for start in {0, 1, len(chunks) // 2, len(chunks)}:
            assert loaded.chunks(first_chunk=start) == chunks[start:]
        wanted = {number for number in range(len(chunks)) if (number * 7 + seed) % 5 == 0}
        assert loaded.chunks(only=wanted.__contains__) == [chunk for chunk in chunks if chunk.number in wanted]


@pytest.mark.usefixtures("small_shards")
def test_unwanted_shards_are_not_read() -> None:
    loaded = support.load(csv_of(400), chunk_size=10)
    loaded.source.opened.clear()
    chunk = loaded.chunks(only=lambda number: number == 20)[0]
    assert loaded.source.opened == [loaded.plan.shards[6].offset]
    assert chunk.number == 20


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "iso2022_jp", "cp037"])
def test_shards_of_any_encoding_give_the_same_chunks(encoding: str) -> None:
    text = csv_of(200).decode().replace("é", "e")
    declared = encoding if encoding in ("iso2022_jp", "cp037") else ""
    loaded = support.load(text.encode(encoding), chunk_size=10, encoding=declared)
    chunks = loaded.chunks()
    assert sum(chunk.rows for chunk in chunks) == loaded.plan.rows_total > 100
    assert [loaded.chunks(first_chunk=number)[0] for number in range(len(chunks))] == chunks


@pytest.mark.usefixtures("small_shards")
def test_a_gz_is_read_once_from_its_beginning() -> None:
    loaded = support.load(gzip.compress(csv_of(400)), chunk_size=10)
    chunks = support.load(csv_of(400), chunk_size=10).chunks()
    loaded.source.opened.clear()
    assert loaded.chunks(only=lambda number: number in (4, 5, 30)) == [chunks[4], chunks[5], chunks[30]]
    assert loaded.source.opened == [0]


def test_a_chunk_closes_before_4_mib_and_a_bigger_row_stands_alone() -> None:
    cutting = cutter.Cutter(100)
    mib = 1 << 20
    assert list(cutting.cut([3 * mib, mib, 1, 9 * mib, 1])) == [2, 3, 4]
    assert list(cutting.cut([1] * 150)) == [99]


def test_rebuilt_rows_are_the_rows_as_read() -> None:
    loaded = support.load(csv_of(300), chunk_size=10)
    again = loaded.rebuilt(1, 10_000)
    assert [row.row_number for row in again] == list(range(1, loaded.plan.rows_total + 1))
    rejects = {reject.row_number: list(reject.cells) for reject in loaded.rejects()}
    assert {row.row_number: row.cells for row in again if row.reason and not row.skipped} == rejects
    assert loaded.rebuilt(40, 5) == again[39:44]


def test_a_changed_source_is_not_split() -> None:
    loaded = support.load("id,formatted_text\n1,a\n")
    loaded.source.data += b"2,b\n"
    with pytest.raises(failures.SourceFailure, match="SOURCE_CHANGED"):
        loaded.chunks()


def test_a_plan_survives_json_and_another_version_is_refused() -> None:
    made = support.load(csv_of(50)).plan
    assert plan.Plan.from_json(made.to_json()) == made
    version = f'"splitter_version": {plan.SPLITTER_VERSION}'.encode()
    for data in (made.to_json().replace(version, b'"splitter_version": 1'), b"[]", b"not json"):
        with pytest.raises(failures.FileFailure, match="PLAN_UNKNOWN"):
            plan.Plan.from_json(data)


def test_on_duplicate_fail_names_the_first_examples() -> None:
    with pytest.raises(failures.FileFailure, match="row 3 has the id of row 1") as caught:
        support.load("id,formatted_text\na,1\nb,2\na,3\n", on_duplicate="fail")
    assert caught.value.reason == "DUPLICATE_IDS"


def test_duplicates_on_disk_are_those_in_memory(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    ids = [str(rng.randrange(2_000)) for _ in range(5_000)]
    first: dict[str, int] = {}
    expected = {row: first[name] for row, name in enumerate(ids, start=1) if first.setdefault(name, row) != row}
    monkeypatch.setattr(duplicates, "_HELD_IDS", 700)
    monkeypatch.setattr(duplicates, "_BUCKET_ROWS", 1_000)
    finder = duplicates.Finder(tmp_path)
    for start in range(0, len(ids), 300):
        finder.add(ids[start : start + 300], range(start + 1, start + 1 + len(ids[start : start + 300])))
    sidecar = tmp_path / "sidecar"
    assert finder.write(sidecar, len(ids)) == len(expected)
    assert list(duplicates.read(sidecar.read_bytes()).items()) == sorted(expected.items())
    begins = [1, 1_000, 4_000]
    parts = [
        duplicates.read(sidecar.read_bytes()[first * 16 : (first + count) * 16])
        for first, count in duplicates.slices(sidecar, begins)
    ]
    assert {row: shard for shard, part in enumerate(parts) for row in part} == {
        row: sum(row >= begin for begin in begins) - 1 for row in expected
    }
    assert [path.name for path in tmp_path.iterdir()] == ["sidecar"]


def test_progress_may_end_a_scan(tmp_path) -> None:
    class Cancelled(Exception):
        pass

    def stop(_rows: int) -> None:
        raise Cancelled

    loaded = support.load(csv_of(5))
    with pytest.raises(Cancelled):
        scan.scan(loaded.source, loaded.pinned, loaded.options, tmp_path, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("knows", "told"),
    [
        ({}, None),
        ({"replaces_nothing": True}, (0, 0)),
        ({"replaced_known": True}, (1, 1)),
        ({"replaces_nothing": True, "replaced_known": True}, (1, 1)),
    ],
)
def test_a_chunk_says_how_many_records_its_rows_replace_as_far_as_it_is_known(
    knows: dict[str, bool], told: tuple[int, int] | None
) -> None:
    """Of an unchanged row, one that replaces a record, a new one, and a reject that would replace one."""
    loaded = support.load(b"id,formatted_text\n1,a\n2,b\n3,c\n4, \n")
    flags = bytes([split.UNCHANGED, split.REPLACES, 0, split.REPLACES])
    task = dataclasses.replace(loaded.task, **knows)
    (chunk,) = split.split(
        loaded.source,
        loaded.pinned,
        loaded.plan,
        task,
        loaded.pairs,
        unchanged=lambda first, end: flags[first - 1 : end - 1],
    )
    rows = chunk_pb2.ChunkRows.FromString(chunk.payload)
    assert [row.text for row in rows.rows] == ["b", "c"]
    found = (rows.replaced.least, rows.replaced.most) if rows.HasField("replaced") else None
    assert found == told

"""What is judged while it is scanned is what a pass of its own says of the file."""

import datetime
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.ingest.manifest import comparing, records
from services.ingest.planning import scan
from services.ingest.request import options
from services.ingest.sources import memory
from services.ingest.splitting import early, survey
from tests.unit.ingest import support

HASHES = records.Hashes(b"k" * records.KEY_BYTES)
HEADER = "id,formatted_text,created_at,more\n"


def same(chunk: comparing.Surveyed) -> tuple[Any, ...]:
    """A chunk, to be compared: its rows in order."""
    ids, entries, at = dict[int, bytes](), dict[int, bytes](), 0
    for place, (row, size) in enumerate(zip(map(int, chunk.row_numbers), map(int, chunk.sizes), strict=True)):
        ids[row], at = chunk.ids[at : at + size], at + size
        entries[row] = chunk.entries[place * 40 : place * 40 + 40]
    held = sorted(chunk.held[at : at + 16] for at in range(0, len(chunk.held), 16))
    counts = chunk.number, chunk.rows, chunk.skipped, chunk.rejected, chunk.unreadable
    return (*counts, sorted(ids.items()), sorted(entries.items()), held)


def compared(
    data: str | bytes, folder: pathlib.Path, *, piece_bytes: int = 64, **chosen: Any
) -> tuple[list[int], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The chunks that were judged again, all that came out, and what a survey says."""
    source = memory.MemorySource(data.encode() if isinstance(data, str) else data, piece_bytes=piece_bytes)
    given = {"data_source": "upload", "question_id": 7, "upload_id": "u", "chunk_size": 3, "id_column": "id"}
    picked = options.Options(**{**given, **chosen})
    held = picked.mode == "mirror"
    task = support.Loaded(source, source.pin(), None, b"", picked).task  # type: ignore[arg-type]  # asked for no rows
    seen = early.Early(task, HASHES, folder / "early", held=held)
    with support.blocks_of(piece_bytes):
        done = scan.scan(source, source.pin(), picked, folder, witness=seen)
        loaded = support.Loaded(source, done.pinned, done.plan, done.duplicates.read_bytes(), picked, piece_bytes)
        rows = (source, done.pinned, done.plan, task, loaded.pairs)
        whole = list(survey.survey(*rows, hashes=HASHES, held=held))
        again: list[int] = []

        def anew(wanted: Callable[[int], bool]) -> Iterator[comparing.Surveyed]:
            again.extend(number for number in range(done.plan.chunks_total) if wanted(number))
            return survey.survey(*rows, hashes=HASHES, held=held, only=wanted)

        found = list(seen.chunks(anew))
        assert list(map(same, seen.chunks(anew))) == list(map(same, found))  # as often as it is asked for
    return sorted(set(again)), list(map(same, found)), list(map(same, whole))


def lines(count: int, more: Callable[[int], str] = str) -> str:
    return HEADER + "".join(f"{row},text {row},2025-01-{row % 28 + 1:02},{more(row)}\n" for row in range(1, count + 1))


@pytest.mark.parametrize("piece_bytes", [64, 100, 1 << 20])
@pytest.mark.parametrize(
    ("data", "chosen", "again"),
    [
        (lines(20), {}, []),
        (lines(20), {"chunk_size": 1}, []),
        (lines(21), {"chunk_size": 7}, []),
        (HEADER, {}, []),
        (lines(20, lambda row: "" if row < 12 else str(row)), {}, []),  # no value yet is of no type
        (lines(20, lambda row: "" if row < 12 else "x"), {}, []),
        (lines(12) + ",no id,,\n5,twice,,\n\n6,,,\nshort\n13,a,b,c,d\n", {"mode": "mirror"}, [4]),
        (lines(12) + "12,twice,,\n13,once,,\n14,once,,\n15,once,,\n", {}, [4]),
        (lines(9) + '10,"one, two\nthree",,"10"\n11,b,,\n', {}, []),
        (lines(20), {"start_date": datetime.date(2025, 1, 5), "mode": "mirror"}, []),
        (lines(20), {"metadata": "legacy", "sanitizer": "legacy"}, []),
        (lines(20), {"column_types": ("created_at:timestamp", "more:number")}, []),
        (lines(20, lambda row: f'="{row}"'), {"null_values": ("12",)}, []),
    ],
)
def test_an_early_judgement_is_that_of_a_survey(
    tmp_path: pathlib.Path, piece_bytes: int, data: str, chosen: dict[str, Any], again: list[int]
) -> None:
    found = compared(data, tmp_path, piece_bytes=piece_bytes, **chosen)
    assert found[1] == found[2]
    assert found[0] == again


@pytest.mark.parametrize(
    ("data", "chosen"),
    [
        (lines(30, lambda row: str(row) if row < 12 else "twelve"), {}),
        (lines(30, lambda row: "true" if row < 12 else "perhaps"), {}),
        (lines(30, lambda row: str(row) if row < 12 else "1.50"), {}),
        (
            lines(30, lambda row: f"{row % 9 + 1}/{row % 9 + 1}/2025" if row < 12 else "1/31/2025"),
            {"column_types": ("more:timestamp",)},
        ),
    ],
)
def test_what_later_rows_disprove_is_judged_again(tmp_path: pathlib.Path, data: str, chosen: dict[str, Any]) -> None:
    """Those chunks, and no others: what follows was judged by what holds."""
    again, found, whole = compared(data, tmp_path, **chosen)
    assert found == whole
    assert again
    assert again == list(range(len(again)))
    assert len(again) < len(whole)


def test_a_pass_that_is_contradicted_does_not_count(tmp_path: pathlib.Path) -> None:
    """Its head is ASCII, and looks like UTF-8 as well as any page; the rest is a page of Windows."""
    data = lines(40, lambda row: "plain" if row < 30 else "gr\xfc\xdfe").encode("cp1252")
    again, found, whole = compared(data, tmp_path)
    assert found == whole
    assert not again
    assert len(whole) == 14


def test_a_scan_that_is_stopped_holds_no_file(tmp_path: pathlib.Path) -> None:
    source = memory.MemorySource(lines(40).encode(), piece_bytes=64)
    picked = options.Options(data_source="upload", question_id=7, upload_id="u", chunk_size=3, id_column="id")
    task = support.Loaded(source, source.pin(), None, b"", picked).task  # type: ignore[arg-type]  # asked for no rows
    path = tmp_path / "early"
    written: list[bool] = []

    def stop(_rows: int) -> None:
        written.append(path.exists())
        if len(written) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError), support.blocks_of(64):
        scan.scan(
            source,
            source.pin(),
            picked,
            tmp_path,
            progress=stop,
            witness=early.Early(task, HASHES, path, held=False),
        )
    assert written[-1]
    assert str(path) not in {str(each.resolve()) for each in pathlib.Path("/proc/self/fd").iterdir()}

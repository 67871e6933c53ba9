"""What a comparison and a merge make of a manifest, against a dict that is changed row by row."""

import contextlib
import io
import pathlib
import random
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.jobs import repair, telling
from services.ingest.manifest import (
    comparing,
    comparison,
    header,
    merging,
    parts,
    records,
    runs,
    sorting,
    spool,
    standing,
    store,
    write_ahead,
)
from services.ingest.splitting import split

HASHES = records.Hashes(b"k" * records.KEY_BYTES)
SIZE = 3


class Objects(store.Store):
    """A bucket in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        assert name not in self.kept  # none is written twice
        self.kept[name] = data

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.kept:
            raise store.Broken(f"{name} is gone")
        yield io.BytesIO(self.kept[name])

    def below(self, prefix: str) -> list[str]:
        return [name for name in self.kept if name.startswith(prefix)]


# What is known of an id: its text and metadata; None: the id may be there with whatever content.
Model = dict[str, tuple[str, str] | None]
Rows = list[tuple[str, str, str]]


def surveyed(rows: Rows, held: set[str] = frozenset(), unreadable: int = 0) -> Iterator[comparing.Surveyed]:  # type: ignore[assignment]
    """Chunks of a file; of the rows that are not usable the first holds all ids."""
    for start in range(0, len(rows), SIZE):
        chunk = rows[start : start + SIZE]
        yield comparing.Surveyed(
            start // SIZE,
            len(chunk),
            0,
            0,
            range(start + 1, start + 1 + len(chunk)),
            [len(row[0].encode()) for row in chunk],
            b"".join(HASHES.entry(*(cell.encode() for cell in row)) for row in chunk),
            b"".join(row[0].encode() for row in chunk),
            b"".join(HASHES.id(name.encode()) for name in held) if not start else b"",
            unreadable if not start else 0,
        )


def compared(
    objects: Objects,
    rows: Rows,
    old: header.Header | None,
    listed: set[str] | None = None,
    *,
    force: bool = False,
    mirror: bool = False,
    held: set[str] = frozenset(),  # type: ignore[assignment]
    unreadable: int = 0,
) -> tuple[comparison.Comparison, list[comparing.Sampled]]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        given_rows = comparing.Rows(folder, len(rows), -(-len(rows) // SIZE))
        for chunk in surveyed(rows, held, unreadable):
            given_rows.add(chunk)
        found = None
        if listed is not None:
            found = standing.Listed(folder, HASHES)
            found.add(sorted(listed))
        run = comparing.Run("task", 7, 0, "rules", f"c{len(objects.kept)}/")
        entries = old.entries(objects, ids=mirror) if old is not None else ()
        made, sampled = comparing.compare(given_rows, entries, found, objects, run, force=force, mirror=mirror)
    data = made.to_bytes()
    return comparison.Comparison.from_bytes(data, store.checksum_of(data)), sampled


def merged(
    objects: Objects,
    old: header.Header | None,
    made: comparison.Comparison,
    states: list[int],
    rejected: set[int],
    deletes: list[int] = [],  # noqa: B006
    written: write_ahead.Written | None = None,
) -> header.Header:
    outcome = merging.Outcome(
        np.array(states, dtype=np.uint8),
        np.array(sorted(rejected), dtype=np.uint64),
        np.array(deletes, dtype=np.uint8),
    )
    named = merging.Named(1 if old is None else old.version + 1, f"m{len(objects.kept)}/", "small", 2, "host")
    found = merging.merge(objects, old, made, outcome, named, written=written)
    data = found.to_json()
    return header.Header.from_json(data, store.checksum_of(data))


def content(objects: Objects, made: header.Header) -> dict[bytes, bytes | None]:
    """By the id's hash, what is known of it; and the ids beside are theirs."""
    found: dict[bytes, bytes | None] = {}
    for block in made.entries(objects, ids=True):
        for entry, vector_id, known in zip(block.entries, block.ids, records.standing(block.entries), strict=True):
            data = entry.tobytes()
            assert HASHES.id(vector_id) == data[:16]
            found[data[:16]] = data[16:] if known == records.KNOWN else None
    return found


def hashed(model: Model) -> dict[bytes, bytes | None]:
    return {
        HASHES.id(name.encode()): None
        if known is None
        else HASHES.text(known[0].encode()) + HASHES.metadata(known[1].encode())
        for name, known in model.items()
    }


def change(model: Model, rows: Rows, listed: set[str] | None, states: list[int], rejected: set[int]) -> None:
    """The rule of MANIFEST 6, a row at a time."""
    missing = {name for name in model if listed is not None and name not in listed}
    changes: Model = {}
    for number, (name, text, metadata) in enumerate(rows, 1):
        if model.get(name) == (text, metadata) and name not in missing:
            continue
        state = states[(number - 1) // SIZE]
        if state == merging.LEFT:
            continue
        sure = state == merging.SETTLED and number not in rejected
        changes[name] = (text, metadata) if sure else None
    for name in missing:
        model.pop(name)
    model.update(changes)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_run_after_run_it_knows_what_the_rule_says(seed: int) -> None:
    choice = random.Random(seed)
    objects, model = Objects(), Model()
    old: header.Header | None = None
    for _ in range(choice.randint(1, 6)):
        names = choice.sample(range(30), choice.randint(0, 30))
        rows = [(f"1.{name}", f"text {choice.randrange(2)}", f"m{choice.randrange(2)}") for name in names]
        listed = None if choice.random() < 0.6 else {name for name in model if choice.random() < 0.8}
        made, sampled = compared(objects, rows, old, listed)
        same = {row[0] for row in rows if model.get(row[0]) == row[1:] and (listed is None or row[0] in listed)}
        assert made.counts.unchanged == len(same)
        flags = made.unchanged(1, len(rows) + 1)
        assert [flag == split.UNCHANGED for flag in flags] == [row[0] in same for row in rows]
        there = {name for name in model if listed is None or name in listed}
        known = {name for name in there if model[name] is not None}
        assert [flag == split.REPLACES for flag in flags] == [row[0] in known - same for row in rows]
        assert made.knows is (any(row[0] in known for row in rows) and not any(row[0] in there - known for row in rows))
        assert {each.vector_id for each in sampled} == same
        assert made.missed_rows == sum(row[0] in model and listed is not None and row[0] not in listed for row in rows)
        states = [choice.randrange(3) for _ in range(len(made.chunks))]
        rejected = {number for number in range(1, len(rows) + 1) if choice.random() < 0.1}
        old = merged(objects, old, made, states, rejected)
        change(model, rows, listed, states, rejected)
        assert content(objects, old) == hashed(model)
        assert (old.known, old.unknown) == (
            sum(known is not None for known in model.values()),
            sum(known is None for known in model.values()),
        )


def gone(objects: Objects, made: comparison.Comparison) -> dict[str, int]:
    """The ids that a mirror deletes, each with the chunk that does."""
    assert made.gone is not None
    found: dict[str, int] = {}
    for block in parts.read(objects, made.gone.parts, records.SENT, ids=True):
        found |= {name.decode(): int(chunk) for name, chunk in zip(block.ids, block.entries["chunk"], strict=True)}
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_mirror_takes_away_what_is_neither_in_the_file_nor_kept(seed: int) -> None:
    choice = random.Random(seed)
    objects, model = Objects(), Model()
    old: header.Header | None = None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison, "DELETED", 4)
        for _ in range(choice.randint(1, 6)):
            names = choice.sample(range(30), choice.randint(1, 30))
            rows = [(f"1.{name}", f"text {choice.randrange(2)}", f"m{choice.randrange(2)}") for name in names]
            others = {f"1.{name}" for name in range(40) if choice.random() < 0.1} - {row[0] for row in rows}
            strange = {f"1.{name}" for name in range(40) if choice.random() < 0.2}
            listed = None if choice.random() < 0.5 else {name for name in model if choice.random() < 0.8} | strange
            made, _ = compared(objects, rows, old, listed, mirror=True, held=others, unreadable=3)
            there = set(model) | (listed or set())
            found = gone(objects, made)
            assert set(found) == there - {row[0] for row in rows} - others
            assert made.gone is not None
            told = (made.gone.rows, made.gone.entries, made.gone.kept_rows, made.gone.unreadable_rows)
            assert told == (len(found), len(there), len(there & others), 3)
            assert made.gone.file_rows == len(rows)
            states = [choice.randrange(3) for _ in range(len(made.chunks))]
            begun = choice.random() < 0.7
            deletes = [choice.choice((merging.SETTLED, merging.UNSURE)) for _ in range(made.gone.deletes * begun)]
            old = merged(objects, old, made, states, set(), deletes)
            changed = {name: model[name] for name in found if name in model and name in (listed or model)}
            changed |= {name: None for name in found if listed is not None and name not in model}
            for name, chunk in found.items() if begun else ():
                changed[name] = None
                if deletes[chunk] == merging.SETTLED:
                    del changed[name]
            change(model, rows, listed, states, set())
            for name in found:
                model.pop(name, None)
            model.update(changed)
            assert content(objects, old) == hashed(model)
            known = sum(value is not None for value in model.values())
            assert (old.known, old.unknown) == (known, len(model) - known)


def test_the_checksum_of_what_is_gone_is_that_of_the_list() -> None:
    objects = Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(10)]
    old = merged(objects, None, compared(objects, rows, None)[0], [merging.SETTLED] * 4, set())
    sums = []
    for kept in (8, 8, 7):
        made = compared(objects, rows[:kept], old, mirror=True)[0].gone
        assert made is not None
        sums.append(made.checksum)
    assert sums[0] == sums[1] != sums[2]


def test_a_small_run_adds_a_layer_and_many_are_made_one() -> None:
    objects = Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(300)]
    made, _ = compared(objects, rows, None)
    old = merged(objects, None, made, [merging.SETTLED] * len(made.chunks), set())
    seen = []
    for turn in range(20):
        rows[turn] = (rows[turn][0], f"changed {turn}", "m")
        made, _ = compared(objects, rows, old)
        assert made.counts.sent == 1
        old = merged(objects, old, made, [merging.SETTLED] * len(made.chunks), set())
        seen.append(len(old.layers))
        assert (old.known, old.unknown) == (300, 0)
    assert max(seen) == header.MOST_LAYERS - 1
    assert 1 in seen


def test_force_lets_all_travel() -> None:
    objects = Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(10)]
    made, _ = compared(objects, rows, None)
    old = merged(objects, None, made, [merging.SETTLED] * 4, set())
    forced, sampled = compared(objects, rows, old, force=True)
    assert (forced.counts.sent, forced.counts.unchanged, sampled) == (10, 0, [])
    assert not forced.quiet.any()


def test_two_rows_of_one_id_are_never_known() -> None:
    objects = Objects()
    rows = [("1.a", "text", "m"), ("1.a", "text", "m"), ("1.b", "text", "m")]
    made, _ = compared(objects, rows, None)
    old = merged(objects, None, made, [merging.SETTLED], set())
    assert content(objects, old) == hashed({"1.a": None, "1.b": ("text", "m")})


@pytest.mark.parametrize("harm", ["gone", "short", "changed", "longer"])
@pytest.mark.parametrize("what", ["entries", "ids"])
def test_what_is_not_as_it_was_written_is_not_believed(harm: str, what: str) -> None:
    objects = Objects()
    made, _ = compared(objects, [(f"1.{number}", "text", "m") for number in range(10)], None)
    old = merged(objects, None, made, [merging.SETTLED] * 4, set())
    name = getattr(old.layers[0][0], what)
    data = objects.kept.pop(name)
    if harm != "gone":
        objects.kept[name] = {"short": data[:-1], "changed": data[:-1] + b"!", "longer": data + b"!"}[harm]
    with pytest.raises(store.Broken):
        list(old.entries(objects, ids=True))


def test_a_header_and_a_comparison_of_another_checksum_are_not_believed() -> None:
    objects = Objects()
    made, _ = compared(objects, [("1.a", "text", "m")], None)
    old = merged(objects, None, made, [merging.SETTLED], set())
    with pytest.raises(store.Broken):
        header.Header.from_json(old.to_json(), "0")
    with pytest.raises(store.Broken):
        comparison.Comparison.from_bytes(made.to_bytes(), "0")


def test_parts_are_as_long_as_they_may_be_and_read_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "BLOCK", 7)
    monkeypatch.setattr(parts, "PART_BYTES", 1_000)
    objects = Objects()
    ids = sorted((f"1.{number}".encode() for number in range(100)), key=lambda each: _numbers(HASHES.id(each)))
    entries = np.frombuffer(b"".join(HASHES.entry(each, b"t", b"m") for each in ids), dtype=records.ENTRY)
    writer = parts.Writer(objects, "run-")
    writer.add(runs.Block(entries, ids))
    made = writer.finish()
    assert len(made) > 2
    assert [name for block in parts.read(objects, made, ids=True) for name in block.ids] == ids
    assert b"".join(block.entries.tobytes() for block in parts.read(objects, made)) == entries.tobytes()
    with pytest.raises(store.Broken, match="out of order"):
        list(parts.read(objects, made[::-1]))


def _numbers(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")


def test_sorting_spills_and_keeps_all(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_HELD", 100)
    sorter = sorting.Sorter(tmp_path, "ids", standing.ID)
    found = np.frombuffer(random.Random(1).randbytes(16 * 1_000), dtype=standing.ID)
    for start in range(0, 1_000, 30):
        sorter.add(found[start : start + 30])
    every = np.concatenate(list(sorter.sorted()))
    assert every.tobytes() == found[records.order(found)].tobytes()
    assert list(tmp_path.iterdir()) == []


def test_hashes_are_of_one_manifest() -> None:
    other = records.Hashes(b"j" * records.KEY_BYTES)
    arguments: tuple[Any, ...] = (b"id", b"text", b"metadata")
    assert HASHES.entry(*arguments) != other.entry(*arguments)
    assert HASHES.id(b"same") != HASHES.text(b"same")


@pytest.mark.parametrize("crowds", [False, True])
def test_what_is_told_stands_whatever_was_there(tmp_path: pathlib.Path, *, crowds: bool) -> None:
    """A verify says of rows that nobody knows what the index holds: so they are bought with the next load."""
    objects = Objects()
    rows = [(f"7.{number}", "t", "m") for number in range(2 if crowds else 200)]
    old = merged(objects, None, compared(objects, rows, None)[0], [merging.SETTLED] * -(-len(rows) // SIZE), set())
    spooled = spool.Spool(tmp_path, "told")
    ids = [b"7.1"]
    spooled.add(spool.unknown(HASHES, ids), ids)
    (told,) = repair.write_told(objects, "told/", spooled.sorted(), records.KNOWN)
    made = telling.comparison_of("verify", 9, old.version, "told/", (told,))
    made = comparison.Comparison.from_bytes(made.to_bytes(), store.checksum_of(made.to_bytes()))

    after = merged(objects, old, made, [], set())

    expected: Model = {row[0]: (row[1], row[2]) for row in rows}
    expected["7.1"] = None
    assert content(objects, after) == hashed(expected)
    assert (after.known, after.unknown) == (len(rows) - 1, 1)
    assert len(after.layers) == (1 if crowds else 2)
    again, _ = compared(objects, rows, after)
    assert (again.counts.new + again.counts.sent, again.counts.unchanged) == (2, len(rows) - 1)

"""A run that is compared with nothing: its rows are written down before they travel, and merged from there."""

import contextlib
import dataclasses
import pathlib
import random
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.manifest import comparing, comparison, header, merging, records, store, write_ahead
from services.ingest.splitting import split, survey
from services.runtime import errors
from tests.unit.ingest import support
from tests.unit.ingest.manifest import test_manifest as known

HASHES, SIZE = known.HASHES, known.SIZE


@dataclasses.dataclass
class Chunk:
    """A chunk of rows of the model."""

    number: int
    payload: bytes
    sent: records.Sent | None


def chunk(number: int, rows: known.Rows, payload: bytes = b"rows") -> Chunk:
    first = number * SIZE
    part = rows[first : first + SIZE]
    numbers = range(first + 1, first + 1 + len(part))
    entries = b"".join(HASHES.entry(*(cell.encode() for cell in row)) for row in part)
    return Chunk(number, payload, records.Sent(numbers, [row[0].encode() for row in part], entries))


def begun(rows: int, folder: str = "c/") -> comparison.Comparison:
    """What stands for the comparison, as it is read again."""
    run = comparing.Run("task", 7, 0, "rules", folder)
    made = comparing.nothing_known(run, rows_total=rows, chunks_total=-(-rows // SIZE))
    data = made.to_bytes()
    return comparison.Comparison.from_bytes(data, store.checksum_of(data))


@contextlib.contextmanager
def written(objects: known.Objects, made: comparison.Comparison) -> Iterator[write_ahead.Written]:
    with tempfile.TemporaryDirectory() as name:
        yield write_ahead.Written(objects, HASHES, made, pathlib.Path(name))


def merged(objects: known.Objects, made: comparison.Comparison, states: list[int], rejected: set[int]) -> header.Header:
    with written(objects, made) as found:
        return known.merged(objects, None, made, states, rejected, written=found)


def test_nothing_is_quiet_and_nothing_unchanged_where_nothing_was_known() -> None:
    made = begun(10)
    assert made.ahead
    assert not made.quiet.any()
    assert (made.changes, made.knows) == (False, False)
    assert made.unchanged(1, 11) == bytes(10)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_it_knows_what_the_rule_says_of_what_was_written_down(seed: int) -> None:
    """Several drivers, each from where it finds the task, and each may end at any chunk."""
    choice = random.Random(seed)
    objects = known.Objects()
    rows = [
        (f"1.{name}", f"text {choice.randrange(2)}", "m") for name in choice.sample(range(90), choice.randint(0, 60))
    ]
    made = begun(len(rows))
    states = [merging.LEFT] * len(made.chunks)
    for _ in range(choice.randint(1, 3)):
        missing = [number for number, state in enumerate(states) if state != merging.SETTLED and choice.random() < 0.8]
        dies_at = choice.randint(0, len(missing))
        writer = write_ahead.Writer(objects, HASHES, made)
        ahead = writer.ahead(chunk(number, rows) for number in missing)
        for ready, _ in zip(ahead, range(dies_at), strict=False):
            states[ready.number] = choice.choice((merging.SETTLED, merging.UNSURE))
    rejected = {number for number in range(1, len(rows) + 1) if choice.random() < 0.1}
    model: known.Model = {}
    known.change(model, rows, None, states, rejected)
    found = merged(objects, made, states, rejected)
    assert known.content(objects, found) == known.hashed(model)
    settled = sum(value is not None for value in model.values())
    assert (found.known, found.unknown) == (settled, len(model) - settled)


def test_the_next_load_finds_all_of_it_unchanged() -> None:
    objects = known.Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(20)]
    made = begun(20)
    list(write_ahead.Writer(objects, HASHES, made).ahead(chunk(number, rows) for number in range(7)))
    old = merged(objects, made, [merging.SETTLED] * 7, set())
    again, sampled = known.compared(objects, rows, old)
    assert (again.counts.unchanged, again.counts.sent, len(sampled)) == (20, 0, 20)


def pages_of(seconds_a_chunk: float, chunks: int, seconds_a_publish: float = 0.0) -> list[int]:
    """How many chunks each page has, where one is made, and one published, in so long."""
    now = 0.0

    def made_chunks() -> Iterator[Chunk]:
        nonlocal now
        for number in range(chunks):
            now += seconds_a_chunk
            yield chunk(number, rows, b"ten bytes!")

    objects = known.Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(3 * chunks)]
    made, pages = begun(3 * chunks), dict[int, int]()
    writer = write_ahead.Writer(objects, HASHES, made, clock=lambda: now)
    for ready in writer.ahead(made_chunks()):
        with written(objects, made) as found:
            assert found.chunks[ready.number]
        pages[len(objects.kept)] = pages.get(len(objects.kept), 0) + 1
        now += seconds_a_publish
    return list(pages.values())


def test_a_chunk_comes_when_its_page_is_in_the_bucket_and_pages_grow() -> None:
    # Each took a tenth of the time so far.
    assert pages_of(0.25, 60) == [*[1] * 10, *[2] * 5, 3, 3, 3, 4, 4, 5, 5, 6, 6, 1]


def test_a_page_that_is_full_waits_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_ahead, "HELD_BYTES", 20)
    assert pages_of(0.25, 60) == [1] * 10 + [2] * 25


def test_a_queue_that_holds_a_driver_up_makes_pages_fewer_and_larger() -> None:
    assert pages_of(0.25, 60, seconds_a_publish=2.0) == [1, 1, 2, 4, 8, 16, 20, 8]  # of at most five seconds


def test_nothing_comes_while_the_bucket_is_away() -> None:
    class Away(known.Objects):
        def put(self, name: str, data: bytes) -> None:
            raise errors.Unavailable("The object store does not answer now.")

    rows = [("1.1", "text", "m")]
    closed: list[bool] = []

    def chunks() -> Iterator[Chunk]:
        try:
            yield chunk(0, rows)
        finally:
            closed.append(True)

    with pytest.raises(errors.Unavailable):
        next(write_ahead.Writer(Away(), HASHES, begun(1)).ahead(chunks()))
    assert closed == [True]


def test_a_chunk_that_settled_without_a_page_spoils_the_merge() -> None:
    objects = known.Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(6)]
    made = begun(6)
    list(write_ahead.Writer(objects, HASHES, made).ahead(iter([chunk(0, rows)])))
    assert merged(objects, made, [merging.SETTLED, merging.UNSURE], set()).known == 3
    with pytest.raises(store.Broken, match="chunk 1 is settled"):
        merged(objects, made, [merging.SETTLED, merging.SETTLED], set())


def test_a_chunk_without_usable_rows_has_a_page_too() -> None:
    objects, made = known.Objects(), begun(3)
    nothing = Chunk(0, b"", records.Sent([], [], b""))
    list(write_ahead.Writer(objects, HASHES, made).ahead(iter([nothing])))
    assert merged(objects, made, [merging.SETTLED], set()).known == 0


@pytest.mark.parametrize("harm", ["short", "changed", "empty", "another's"])
def test_a_page_that_is_not_what_was_written_is_not_believed(harm: str) -> None:
    objects = known.Objects()
    rows = [(f"1.{number}", "text", "m") for number in range(3)]
    made = begun(3)
    list(write_ahead.Writer(objects, HASHES, made).ahead(iter([chunk(0, rows)])))
    (name,) = objects.kept
    data = objects.kept.pop(name)
    middle = len(data) // 2
    objects.kept["c/sent-other" if harm == "another's" else name] = {
        "short": data[:-1],
        "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "empty": b"",
        "another's": data,
    }[harm]
    with pytest.raises(store.Broken), written(objects, made):
        pass


def test_who_has_another_key_cannot_make_a_page() -> None:
    objects, made = known.Objects(), begun(3)
    rows = [(f"1.{number}", "text", "m") for number in range(3)]
    stranger = records.Hashes(b"j" * records.KEY_BYTES)
    list(write_ahead.Writer(objects, stranger, made).ahead(iter([chunk(0, rows)])))
    with pytest.raises(store.Broken), written(objects, made):
        pass


@pytest.mark.parametrize("other", ["text", "another text"])
def test_two_rows_of_one_id_are_never_known(other: str) -> None:
    objects, made = known.Objects(), begun(6)
    rows = [("1.a", "text", "m"), ("1.b", "text", "m"), ("1.c", "text", "m"), ("1.a", other, "m"), ("1.a", "text", "m")]
    list(write_ahead.Writer(objects, HASHES, made).ahead(chunk(number, rows) for number in (0, 1)))
    found = merged(objects, made, [merging.SETTLED] * 2, set())
    expected: known.Model = {"1.a": None, "1.b": ("text", "m"), "1.c": ("text", "m")}
    assert known.content(objects, found) == known.hashed(expected)


def test_nothing_is_merged_into_a_manifest_that_was_not_there() -> None:
    objects, made = known.Objects(), begun(3)
    rows = [(f"1.{number}", "text", "m") for number in range(3)]
    list(write_ahead.Writer(objects, HASHES, made).ahead(iter([chunk(0, rows)])))
    old = merged(objects, made, [merging.SETTLED], set())
    with written(objects, made) as found, pytest.raises(store.Broken):
        known.merged(objects, old, made, [merging.SETTLED], set(), written=found)


def test_the_split_hashes_what_a_comparison_would() -> None:
    """Row by row: those that travel, with bad rows, duplicates and a chunk that has none in between."""
    cells = ["1,a,x", "2,,y", "1,b,z", " 3 ,c & d,", "4,<b>e</b>,1", ",f,2", ",g,", ",h,", "5,ü,ß"]
    loaded = support.load("id,formatted_text,more\n" + "\n".join(cells) + "\n", chunk_size=2)
    given = (loaded.source, loaded.pinned, loaded.plan, loaded.task, loaded.pairs)
    judged = list(survey.survey(*given, hashes=HASHES))
    sent = [each.sent for each in split.split(*given, hashes=HASHES)]
    told = [each for each in sent if each is not None]
    assert [(each.row_numbers, each.entries) for each in judged] == [(each.row_numbers, each.entries) for each in told]
    assert [(each.sizes, each.ids) for each in judged] == [
        (list(map(len, each.ids)), b"".join(each.ids)) for each in told
    ]
    assert [each and len(each.ids) for each in sent] == [1, 1, 1, 0, 1]
    plain = list(split.split(*given))
    assert [dataclasses.replace(each, sent=None) for each in split.split(*given, hashes=HASHES)] == plain


@given(st.lists(st.tuples(st.binary(), st.binary(), st.binary()), max_size=5), st.binary())
def test_many_rows_hash_as_one_does(rows: list[tuple[bytes, bytes, bytes]], shared: bytes) -> None:
    ids, texts, own = ([row[at] for row in rows] for at in range(3))
    alone = [HASHES.entry(vector_id, text, shared + metadata) for vector_id, text, metadata in rows]
    assert HASHES.entries(ids, texts, own, shared) == b"".join(alone)


def test_chunks_of_a_task_are_numbered_in_its_pages() -> None:
    """As far as 32 bits go."""
    objects = known.Objects()
    made = dataclasses.replace(begun(3), chunks=np.zeros(70_000, dtype=comparison.CHUNK))
    rows = [("1.1", "text", "m")]
    far = Chunk(69_999, b"", chunk(0, rows).sent)
    list(write_ahead.Writer(objects, HASHES, made).ahead(iter([far])))
    with written(objects, made) as found:
        assert np.flatnonzero(found.chunks).tolist() == [69_999]

"""Upserts on the wire: what we pack by hand is what protobuf would have written, and fits the provider's limits."""

import asyncio
import itertools
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectorline.v1 import pinecone_pb2

from services.indexer.pinecone import batch as batches
from services.indexer.pinecone import confirmation, writer
from services.runtime import errors


def vector(vector_id: str, values: bytes, metadata: bytes) -> batches.Vector:
    return batches.Vector(vector_id, memoryview(values), metadata)


records = st.tuples(st.text(max_size=40), st.binary(max_size=300), st.binary(max_size=300))


@given(st.lists(records, max_size=8), st.text(min_size=1, max_size=200))
def test_the_packed_request_is_protobuf_s(found: list[tuple[str, bytes, bytes]], namespace: str) -> None:
    expected = pinecone_pb2.PineconeUpsertRequest(
        namespace=namespace,
        vectors=[pinecone_pb2.PineconeVector(id=id_, values=values, metadata=data) for id_, values, data in found],
    )

    batch = batches.Batch([vector(*record) for record in found], namespace)

    assert pinecone_pb2.PineconeUpsertRequest.FromString(batch.request) == expected
    assert batch.vectors == [vector(*record) for record in found]
    assert all(each.values.obj is batch.request for each in batch.vectors)


@settings(deadline=None)  # megabytes are copied
@given(st.lists(st.integers(0, 700_000), max_size=12))
def test_batches_fit_one_upsert_and_keep_every_record_in_order(sizes: list[int]) -> None:
    vectors = [vector(f"v{number}", bytes(size), b"m") for number, size in enumerate(sizes)]

    made = [batches.Batch(vectors[run], "namespace") for run in batches.runs(vectors)]

    assert [each for batch in made for each in batch.vectors] == vectors
    assert all(len(batch.request) <= 2 * 1024 * 1024 for batch in made)
    assert all(len(batch) <= batches.UPSERT_VECTORS for batch in made)


def test_records_count_by_their_ids_values_and_metadata() -> None:
    batch = batches.Batch([vector("vé", bytes(40), b"m")] * 3, "namespace")

    assert batch.record_bytes == 3 * (3 + 40 + 1)


def test_small_records_are_limited_by_number() -> None:
    vectors = [vector(f"v{number}", b"1234", b"") for number in range(2_500)]

    assert [len(vectors[run]) for run in batches.runs(vectors)] == [1_000, 1_000, 500]
    assert [len(vectors[:250][run]) for run in batches.runs(vectors[:250], most=100)] == [100, 100, 50]


class Picky:
    """A way into the index, and the transport that chooses it; refuses records without metadata."""

    def __init__(self) -> None:
        self.compared = 0
        self.upserts = 0
        self.written: list[str] = []

    async def way(self) -> "Picky":
        return self

    async def compare(self, _vector: batches.Vector) -> None:
        self.compared += 1

    def find_anew(self) -> None:
        """It is where it was."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        self.upserts += 1
        if not all(each.metadata for each in batch.vectors):
            raise batches.IndexRefused("no metadata")
        self.written += [each.id for each in batch.vectors]
        return batches.Written(len(batch))


async def may_write() -> None:
    """Always."""


async def test_a_refused_batch_looks_at_the_index_twice_however_many_rows_are_refused() -> None:
    """One look a row was thousands of calls to the control plane, with searches waiting behind each."""
    index: Any = Picky()
    vectors = [vector(f"v{number}", b"1234", b"" if number % 2 else b"m") for number in range(100)]

    refused = await writer.Upserts(index).write(batches.Batch(vectors, "v2"), may_write)

    assert set(refused) == set(range(1, 100, 2))
    assert sorted(index.written) == sorted(f"v{number}" for number in range(0, 100, 2))
    assert index.compared == 2


async def test_a_batch_of_which_all_is_refused_costs_an_upsert_a_record_and_no_more() -> None:
    """Bisecting it cost twice as many, and with several batches at once as many times that."""
    index: Any = Picky()
    upserts = writer.Upserts(index)
    vectors = [vector(f"v{number}", b"1234", b"") for number in range(100)]

    refused = await upserts.write(batches.Batch(vectors, "v2"), may_write)

    assert set(refused) == set(range(100))
    assert index.upserts == 101


async def test_others_wait_while_nothing_of_a_refused_batch_was_taken_and_stop_when_the_task_does() -> None:
    index: Any = Picky()
    upserts = writer.Upserts(index)
    vectors = [vector(f"v{number}", b"1234", b"") for number in range(50)]
    blocked = asyncio.Event()

    async def check() -> None:
        if blocked.is_set():
            raise errors.Conflict("It is blocked.")

    async def write() -> None:
        if len(await upserts.write(batches.Batch(vectors, "v2"), check)) == len(vectors):
            blocked.set()

    answers = await asyncio.gather(*(write() for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(answer, errors.Conflict) for answer in answers) >= 6
    assert index.upserts <= 8 + 2 * 50


async def test_records_that_follow_one_that_is_taken_are_bisected() -> None:
    index: Any = Picky()
    vectors = [vector(f"v{number}", b"1234", b"" if number == 70 else b"m") for number in range(100)]

    assert set(await writer.Upserts(index).write(batches.Batch(vectors, "v2"), may_write)) == {70}
    assert index.upserts < 25


class Full(Picky):
    """A way into an index whose plan is used up."""

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        self.upserts += 1
        raise batches.IndexExhausted("You've reached your write unit limit for the current month.")


async def test_a_quota_that_is_used_up_is_asked_once_and_known_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(writer, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    index: Any = Full()
    upserts = writer.Upserts(index)
    assert upserts.exhausted is None

    with pytest.raises(batches.IndexExhausted):
        await upserts.write(batches.Batch([vector("a", b"1234", b"m")], "v2"), may_write)

    assert index.upserts == 1, "waiting does not help"
    assert not upserts.circuit.open
    assert upserts.exhausted is not None
    assert "write unit limit for the current month" in upserts.exhausted.message
    now[0] += writer.EXHAUSTED_SECONDS + 1
    assert upserts.exhausted is None, "a person may have put it right"


class Miscounting(Picky):
    """A way into an index that writes, and names another number."""

    def __init__(self, *, times: int, by: int) -> None:
        super().__init__()
        self._times = times
        self._by = by

    async def upsert(self, batch: batches.Batch) -> batches.Written:
        self.upserts += 1
        return batches.Written(len(batch) + (self._by if self.upserts <= self._times else 0))


async def test_a_count_that_is_wrong_once_is_an_accident() -> None:
    index: Any = Miscounting(times=1, by=-1)
    upserts = writer.Upserts(index)
    assert await upserts.write(batches.Batch([vector("a", b"1234", b"m")], "v2"), may_write) == {}
    assert index.upserts == 2
    assert upserts.circuit.why == ""


@pytest.mark.parametrize("by", [-1, 1])
async def test_an_index_that_never_confirms_is_not_paid_for_ever(by: int) -> None:
    """Three upserts a second went to one that counted otherwise, each of them billed, and the status named OpenAI."""
    seconds = itertools.count(0, confirmation.UNCONFIRMED_SECONDS / 2)
    index: Any = Miscounting(times=1_000, by=by)
    upserts = writer.Upserts(index)
    upserts._confirmations = confirmation.Confirmations(lambda: next(seconds))

    with pytest.raises(batches.IndexUnconfirmed, match=f"wrote {2 + by} of 2"):
        await upserts.write(batches.Batch([vector("a", b"1234", b"m"), vector("b", b"1234", b"m")], "v2"), may_write)

    assert index.upserts == 3
    assert "of 2 vectors" in upserts.circuit.why


async def test_what_is_not_confirmed_is_sent_no_oftener_than_the_circuit_lets(monkeypatch: pytest.MonkeyPatch) -> None:
    index: Any = Miscounting(times=1_000, by=-1)
    upserts = writer.Upserts(index)
    waits: list[float] = []

    async def passage() -> None:
        waits.append(index.upserts)

    monkeypatch.setattr(upserts.circuit, "passage", passage)
    with pytest.raises(batches.IndexUnavailable):
        await upserts.write(batches.Batch([vector("a", b"1234", b"m")], "v2"), may_write)
    assert waits == [1, 2, 3], "but for the first, all tries wait for it"


def test_answers_far_apart_have_nothing_to_do_with_each_other() -> None:
    now = [0.0]
    found = confirmation.Confirmations(lambda: now[0])
    assert not found.miss("v2")
    now[0] += confirmation.APART_SECONDS + 1
    assert not found.miss("v2")
    now[0] += confirmation.UNCONFIRMED_SECONDS
    assert not found.miss("another")
    assert found.miss("v2")
    assert not found.doubted("v2"), "a person was asked: it counts anew"
    assert not found.miss("v2")
    found.confirm("v2")
    assert not found.doubted("v2")

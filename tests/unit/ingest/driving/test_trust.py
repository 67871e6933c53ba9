"""When a manifest is believed: by its header, by the index's count, and by a look at records."""

import asyncio
import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

import grpc
import pytest
from vectorline.v1 import manifest_pb2

from services.ingest import manifest_client
from services.ingest.contract import metadata, rules
from services.ingest.driving import trust
from services.ingest.manifest import comparing, header, records, store
from services.ingest.request import options
from services.runtime import channels

HOST, MODEL, TASK = "http://index", "small", "task"
HASHES = records.Hashes(b"k" * records.KEY_BYTES)


class Index:
    """What `manifest_client.Manifests` answers of an index."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)
        self.records: dict[str, dict[str, Any]] = {}
        self.host = HOST
        self.asked = 0
        self.positions: list[int | None] = []

    async def count(self, _namespace: str) -> tuple[int, str]:
        self.asked += 1
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0], self.host

    async def fetch(self, _namespace: str, ids: Sequence[str], task_id: str) -> dict[str, dict[str, Any]]:
        assert task_id == TASK
        return {name: self.records[name] for name in ids if name in self.records}

    async def position(self, _namespace: str, task_id: str) -> int | None:
        assert task_id == TASK
        return self.positions.pop(0) if len(self.positions) > 1 else self.positions[0]


class Objects(store.Store):
    """A bucket in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.kept:
            raise store.Broken(f"{name} is gone")
        yield io.BytesIO(self.kept[name])

    def names(self, folder: str) -> list[str]:
        return sorted({name.removeprefix(folder).partition("/")[0] for name in self.kept if name.startswith(folder)})


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept; no time passes."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


def manifest(**changes: Any) -> manifest_client.Manifest:
    standard: dict[str, Any] = {
        "key": "manifest",
        "version": 3,
        "index": "idx",
        "namespace": "v2",
        "question_id": "7",
        "model": MODEL,
        "dimension": 2,
        "namespace_known": 10,
        "look": manifest_client.Look(count=10, known=10, doubts=0),
    }
    return manifest_client.Manifest(**{**standard, **changes})


def stored(objects: Objects, **changes: Any) -> manifest_client.Manifest:
    fields: dict[str, Any] = {
        "version": 3,
        "contract": rules.version(),
        "model": MODEL,
        "dimension": 2,
        "host": HOST,
        "known": 10,
        "unknown": 0,
        "layers": (),
    }
    data = header.Header(**{**fields, **changes}).to_json()
    objects.kept["manifests/idx/v2/7/3-a/header"] = data
    return manifest(uri="manifests/idx/v2/7/3-a/header", checksum=store.checksum_of(data))


async def read(found: manifest_client.Manifest, objects: Objects, index: Index | None = None) -> header.Header | None:
    asked: Any = index or Index(10)
    return await trust.read(asked, objects, found)


async def test_a_manifest_without_a_header_says_nothing() -> None:
    assert await read(manifest(), Objects()) is None


async def test_one_that_is_for_this_index_and_these_rules_is_believed() -> None:
    objects = Objects()
    made = await read(stored(objects), objects)
    assert made is not None
    assert made.known == 10


@pytest.mark.parametrize(
    "change",
    [{"contract": "older"}, {"model": "large"}, {"dimension": 3}, {"host": "elsewhere"}, {"model": "", "dimension": 0}],
    ids=str,
)
async def test_one_that_is_for_another_is_not(change: dict[str, Any]) -> None:
    objects = Objects()
    with pytest.raises(trust.Distrusted):
        await read(stored(objects, **change), objects)


async def test_one_of_a_run_that_ended_before_any_model_wrote_is_for_each() -> None:
    """Its ids may be there with whatever content, which equals nothing; verify has no reason to refuse it."""
    objects = Objects()
    made = await read(stored(objects, model="", dimension=0, known=0, unknown=4), objects)
    assert made is not None
    assert made.unknown == 4


async def test_one_that_is_gone_or_was_changed_is_not() -> None:
    objects = Objects()
    found = stored(objects)
    objects.kept[found.uri] += b" "
    with pytest.raises(trust.Distrusted):
        await read(found, objects)
    del objects.kept[found.uri]
    with pytest.raises(trust.Distrusted):
        await read(found, objects)


async def test_a_later_version_beside_it_tells_that_the_ledger_was_restored() -> None:
    objects = Objects()
    found = stored(objects)
    objects.kept["manifests/idx/v2/7/of-task-9-b/outcome"] = b""  # a comparison is none
    await read(found, objects)
    objects.kept["manifests/idx/v2/7/12-c/header"] = b""
    with pytest.raises(trust.Distrusted) as why:
        await read(found, objects)
    assert why.value.past == 12


async def placed(index: Index, *, lsn: int = 900, known: int = 10) -> None:
    objects = Objects()
    found = stored(objects, known=known)
    found.lsn = lsn
    made = await read(found, objects)
    assert made is not None
    asked: Any = index
    await trust.placed(asked, found, made, TASK)


async def test_an_index_whose_log_begins_anew_was_made_anew(naps: list[float]) -> None:
    index = Index(10)
    index.positions = [3]
    with pytest.raises(trust.Distrusted, match="stands at 3 and was at 900"):
        await placed(index)
    assert sum(naps) >= trust.POSITION_STILL_SECONDS, "what follows is dear: all is bought"


async def test_a_log_that_is_seen_late_is_waited_for_while_it_moves(naps: list[float]) -> None:
    index = Index(10)
    index.positions = [*range(800, 900), 900]
    await placed(index)
    assert len(naps) == 100


@pytest.mark.parametrize("position", [900, 901])
async def test_a_log_that_is_as_far_as_it_was_is_believed_at_once(naps: list[float], position: int) -> None:
    index = Index(10)
    index.positions = [position]
    await placed(index)
    assert not naps


async def test_an_index_that_tells_no_position_is_not_held_to_it(naps: list[float]) -> None:
    index = Index(10)
    index.positions = [None]
    await placed(index)
    assert not naps


@pytest.mark.parametrize("fields", [{"lsn": 0}, {"known": 0}], ids=str)
async def test_where_nothing_is_known_the_index_is_not_asked(fields: dict[str, int]) -> None:
    """Where nothing is in it others may have dropped the namespace, and its log began anew."""
    await placed(Index(10), **fields)


class Foreseeing(Index):
    """An index, and a ledger that has a manifest of question 7 in v2."""

    def __init__(self, found: manifest_client.Manifest, count: int) -> None:
        super().__init__(count)
        self.found = found

    async def about(self, namespace: str, question_id: int | None) -> manifest_client.Manifest:
        return self.found if (namespace, question_id) == ("v2", 7) else manifest_client.Manifest()


@pytest.mark.parametrize(("question", "count", "known"), [(7, 10, 10), (7, 12, 10), (7, 9, None), (8, 10, None)])
async def test_an_estimate_believes_a_manifest_unless_the_index_has_fewer_vectors(
    question: int, count: int, known: int | None
) -> None:
    objects = Objects()
    asked: Any = Foreseeing(stored(objects), count)
    found = await trust.foreseen(asked, objects, "v2", question)
    assert (found and found.header.known) == known


async def test_an_estimate_believes_no_manifest_of_other_rules() -> None:
    objects = Objects()
    asked: Any = Foreseeing(stored(objects, contract="older"), 10)
    assert await trust.foreseen(asked, objects, "v2", 7) is None


async def counted(index: Index, found: manifest_client.Manifest, *, believed: bool = True) -> trust.Counted:
    asked: Any = index
    return await trust.counted(asked, found, believed=believed)


async def test_the_count_that_was_expected_needs_no_list(naps: list[float]) -> None:
    found = manifest(namespace_known=15)  # five more are known since the last look
    answer = await counted(Index(15), found)
    assert (answer.listing, naps) == (False, [])
    assert answer.look == manifest_client.Look(count=15, known=15)


async def test_a_count_that_lags_behind_is_waited_for(naps: list[float]) -> None:
    answer = await counted(Index(7, 8, 9, 10), manifest())
    assert not answer.listing
    assert len(naps) == 3


async def test_a_count_that_stays_another_lets_the_ids_be_listed(naps: list[float]) -> None:
    answer = await counted(Index(9), manifest())
    assert answer.listing
    assert sum(naps) == trust.COUNT_STILL_SECONDS
    assert answer.look == manifest_client.Look(count=9, known=10)


@pytest.mark.parametrize("change", [{"namespace_doubts": 1}, {"namespace_pending": 1}, {"look": None}], ids=str)
async def test_without_an_expectation_the_ids_are_listed(naps: list[float], change: dict[str, Any]) -> None:
    assert (await counted(Index(10), manifest(**change))).listing


async def test_while_others_write_a_count_says_nothing_to_the_next(naps: list[float]) -> None:
    assert (await counted(Index(10), manifest(namespace_pending=1))).look is None


@pytest.mark.parametrize(("count", "pending", "says"), [(10, 0, True), (11, 0, False), (10, 1, False)])
async def test_the_first_look_counts_where_it_is_just_what_is_known(
    naps: list[float], count: int, pending: int, *, says: bool
) -> None:
    answer = await counted(Index(count), manifest(namespace_pending=pending), believed=False)
    assert not answer.listing
    assert (answer.look is not None) == says
    assert naps == []


ENCODER = metadata.Encoder(
    ("id", "formatted_text", "city", "price", "new"),
    ("string", "string", "string", "number", "boolean"),
    options.Options(data_source="upload", question_id=7),
)
SHARED = {
    "source": "upload",
    "s3_key": "a.csv",
    "chunk_id": 4,
    "task_id": "t",
    "question_id": 7,
    "processed_at": "2026-01-01T00:00:00.000000Z",
}
CELLS = ("1", "Some text", "Bern", "12.50", "true")


def record(**changes: Any) -> dict[str, Any]:
    """The record of CELLS as an index gives it back, of another task and place."""
    own = {"city": "Bern", "price": 12.5, "new": True, "text": "Some text", "row_id": "1", "record_index": 8.0}
    found = {**SHARED, "question_id": 7.0, "task_id": "other", "chunk_id": 0.0, **own, **changes}
    return {name: value for name, value in found.items() if value is not None}


def row() -> comparing.Sampled:
    common = ENCODER.common(dict(SHARED))
    entries = metadata.lasting(ENCODER.row(CELLS, "Some text", "1", 3))
    return comparing.Sampled("7.1", HASHES.entry(b"7.1", b"Some text", ENCODER.lasting_common(common) + entries))


async def checked(index: Index) -> None:
    asked: Any = index
    await trust.Sample(asked, "v2", TASK, HASHES).check([row()])


async def test_a_record_that_is_as_it_was_written_is_known_again(naps: list[float]) -> None:
    index = Index(1)
    index.records["7.1"] = record()
    await checked(index)
    assert naps == []


@pytest.mark.parametrize(
    "change", [{"text": "Another text"}, {"city": "Basel"}, {"city": None}, {"more": 1.0}, {"price": "12.5"}], ids=str
)
async def test_one_that_is_not_is_looked_at_twice_and_then_not_believed(
    naps: list[float], change: dict[str, Any]
) -> None:
    index = Index(1)
    index.records["7.1"] = record(**change)
    with pytest.raises(trust.Distrusted):
        await checked(index)
    assert naps == [trust.AGAIN_SECONDS]


async def test_one_that_comes_late_is_believed(naps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(1)

    async def written(_seconds: float) -> None:
        index.records["7.1"] = record()

    monkeypatch.setattr(asyncio, "sleep", written)
    await checked(index)


async def test_the_log_of_a_large_namespace_is_waited_for_longer_than_other_answers() -> None:
    """It takes a query, which looks at every vector: whoever gives that up scans the file again."""
    given: list[float] = []

    class Stub:
        async def GetLogPosition(self, _request: Any, timeout: float = channels.UNARY_TIMEOUT_SECONDS) -> Any:
            given.append(timeout)
            return manifest_pb2.GetLogPositionResponse(lsn=7)

    async with grpc.aio.insecure_channel("ipv4:127.0.0.1:9") as nowhere:
        asking = manifest_client.Manifests(nowhere)
        asking._stub = Stub()  # type: ignore[assignment]
        assert await asking.position("v2", TASK) == 7
    assert given[0] >= 6 * channels.UNARY_TIMEOUT_SECONDS

"""Spans: whose child each is, and that nothing is begun where nothing is recorded."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from services.runtime.tracing import spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad6b7169203331-00"


class Recorded:
    def __init__(self, number: int, name: str, parent: str, links: Sequence[str]) -> None:
        self.traceparent = f"00-{TRACE}-{number:016x}-01"
        self.name, self.parent, self.links = name, parent, tuple(links)
        self.attributes: dict[str, spans.Attribute] = {}
        self.error: BaseException | None = None

    def set(self, name: str, value: spans.Attribute) -> None:
        self.attributes[name] = value

    def end(self, error: BaseException | None = None) -> None:
        self.error = error


class Backend:
    """Records everything."""

    def __init__(self) -> None:
        self.made: list[Recorded] = []

    def start(self, name: str, kind: spans.Kind, parent: str, links: Sequence[str]) -> Recorded:
        self.made.append(Recorded(len(self.made) + 1, name, parent, links))
        return self.made[-1]

    def close(self) -> None:
        """Nothing is kept back."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    recording = Backend()
    spans.use(recording)
    yield recording
    spans.use(None)


def test_without_a_backend_nothing_happens() -> None:
    with spans.served(SAMPLED, "call", begins=True) as span:
        span.set("a", 1)
        assert (span.traceparent, spans.current(), spans.recorded()) == ("", "", "")


def test_opentelemetry_is_not_imported_unless_it_is_wanted() -> None:
    """But for what redis-py imports of it by itself, wherever it is installed: its metrics."""
    program = (
        "import sys, services.embedder.app, services.indexer.app, services.ingest.app\n"
        "sys.exit(any(name.startswith(('opentelemetry.exporter', 'opentelemetry.sdk.trace')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=100).returncode == 0


def test_what_begins_within_a_span_is_its_child_and_what_comes_after_is_not(backend: Backend) -> None:
    with spans.served("", "call", begins=True) as call:
        with spans.span("inner") as inner:
            assert spans.recorded() == inner.traceparent
        with spans.span("beside", apart=True):
            assert spans.recorded() == call.traceparent
    assert spans.current() == ""
    assert [(each.name, each.parent) for each in backend.made] == [
        ("call", ""),
        ("inner", call.traceparent),
        ("beside", call.traceparent),
    ]


def test_a_call_goes_on_with_its_callers_trace_and_with_its_callers_no(backend: Backend) -> None:
    with spans.served(SAMPLED, "call", begins=False):
        pass
    with spans.served(UNSAMPLED, "call", begins=True) as span, spans.span("inner"):
        assert (spans.current(), spans.recorded(), span.traceparent) == (UNSAMPLED, "", UNSAMPLED)
    assert [each.parent for each in backend.made] == [SAMPLED]


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_flags_besides_sampled_change_nothing(flags: str) -> None:
    assert spans.sampled(f"00-{TRACE}-b7ad6b7169203331-{flags}")


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "rubbish",
        UNSAMPLED,
        f"00-{TRACE}-b7ad6b7169203331-02",
        f"01-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"{SAMPLED}-more",
        f"{SAMPLED}\n",
    ],
)
def test_what_is_not_sampled_or_no_traceparent_records_nothing(backend: Backend, traceparent: str) -> None:
    with spans.under(traceparent, "scan"), spans.linked(traceparent, "chunk", spans.Kind.CONSUMER), spans.span("x"):
        pass
    with spans.served(traceparent, "call", begins=False):
        assert spans.recorded() == ""
    assert backend.made == []


def test_across_the_queue_there_is_a_link_and_a_trace_of_its_own(backend: Backend) -> None:
    with spans.linked(SAMPLED, "chunk", spans.Kind.CONSUMER) as chunk, spans.span("inner"):
        pass
    assert [(each.parent, each.links) for each in backend.made] == [("", (SAMPLED,)), (chunk.traceparent, ())]


async def test_a_task_that_leaves_is_part_of_nothing_and_its_maker_still_is(backend: Backend) -> None:
    async def loop() -> str:
        spans.leave()
        return spans.current()

    with spans.served("", "call", begins=True) as span:
        assert await asyncio.create_task(loop()) == ""
        assert spans.current() == span.traceparent


def test_an_error_ends_the_span_and_goes_on(backend: Backend) -> None:
    with pytest.raises(ValueError, match="row"), spans.served("", "call", begins=True):
        raise ValueError("a row's text")
    assert isinstance(backend.made[0].error, ValueError)
    assert spans.current() == ""


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250, 12_345, 1_000_000])
def test_at_most_so_many_are_chosen_evenly_and_always_the_same(count: int) -> None:
    chosen = [number for number in range(count) if spans.stride(count, 100)(number)]
    assert len(chosen) <= 100
    assert len(chosen) >= min(count, 50)
    assert chosen[:1] == [0][:count]
    assert len({after - before for before, after in itertools.pairwise(chosen)}) <= 1

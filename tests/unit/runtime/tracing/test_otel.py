"""Spans by OpenTelemetry's SDK: they arrive whole, hold no words of errors, and hold nobody up."""

import json
import pathlib
import subprocess
import sys

import pytest

from sandbox.traces import sink
from services.runtime import settings
from services.runtime.tracing import otel, spans
from tests.support import ports
from tests.unit.runtime.tracing import test_spans


def process(url: str, **chosen: object) -> settings.ProcessSettings:
    return settings.ProcessSettings.model_validate(
        {"otel_exporter_otlp_endpoint": url, "process_name": "e-1", **chosen}
    )


def run(program: str, *before: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """A program with this process's modules, and others before them."""
    path = json.dumps([*map(str, before), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_spans_arrive_with_parents_links_and_kinds_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "FLUSH_SECONDS", 60.0)
    with sink.Sink() as collector:
        backend = otel.OpenTelemetry("embedder", process(collector.url, otel_traces_sampler="parentbased_always_off"))
        chunk = backend.start("chunk", spans.Kind.CONSUMER, "", (test_spans.SAMPLED,))
        chunk.set("chunk", 7)
        call = backend.start("call", spans.Kind.CLIENT, chunk.traceparent, ())
        call.end(ValueError("canary of a row"))
        chunk.end()
        backend.start("unasked", spans.Kind.SERVER, "", ()).end()
        backend.close()
        arrived = {each.name: each for each in collector.spans}

    assert set(arrived) == {"chunk", "call"}, "what is linked to something sampled is; another first span is not"
    assert arrived["chunk"].links == (test_spans.SAMPLED.split("-")[2],)
    assert arrived["call"].parent_id == arrived["chunk"].span_id
    assert arrived["call"].trace_id == arrived["chunk"].trace_id != test_spans.TRACE
    assert (arrived["call"].failed, arrived["chunk"].failed) == (True, False)
    assert (arrived["chunk"].service, arrived["chunk"].kind) == ("vectorline-embedder", "CONSUMER")
    assert "canary" not in repr(arrived)


@pytest.mark.parametrize(
    ("sampler", "least", "most"),
    [("always_on", 400, 400), ("parentbased_traceidratio", 60, 140), ("parentbased_always_off", 0, 0)],
)
def test_a_share_of_the_traces_that_begin_here_is_recorded(sampler: str, least: int, most: int) -> None:
    backend = otel.OpenTelemetry(
        "ingest", process("http://127.0.0.1:9", otel_traces_sampler=sampler, otel_traces_sampler_arg=0.25)
    )
    made = [backend.start("call", spans.Kind.SERVER, "", ()) for _ in range(400)]
    backend.close()
    assert least <= sum(spans.sampled(each.traceparent) for each in made) <= most


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    # In a process of its own: what is given up goes on with its tries in a thread, here beside later tests.
    program = (
        "import time\n"
        "from services.runtime import settings\n"
        "from services.runtime.tracing import otel, spans\n"
        f"chosen = settings.ProcessSettings(otel_exporter_otlp_endpoint='http://127.0.0.1:{ports.free()}')\n"
        "backend = otel.OpenTelemetry('ingest', chosen)\n"
        "for _ in range(5_000):\n"
        "    backend.start('call', spans.Kind.SERVER, '', ()).end()\n"
        "began = time.monotonic()\n"
        "backend.close()\n"
        "print(time.monotonic() - began)"
    )
    ran = run(program)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < otel.FLUSH_SECONDS + 5.0


def test_without_the_extra_the_process_says_what_to_install(tmp_path: pathlib.Path) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ModuleNotFoundError('no', name='opentelemetry')")
    program = (
        "from services.runtime import server, settings\n"
        "server._trace('ingest', settings.ProcessSettings(otel_exporter_otlp_endpoint='http://collector:4317'))"
    )
    ran = run(program, tmp_path)
    assert ran.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: opentelemetry is not installed" in ran.stderr
    assert "`tracing`" in ran.stderr

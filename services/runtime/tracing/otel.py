"""Spans by OpenTelemetry's SDK, sent by OTLP over gRPC. Imported only where there is an endpoint: 0.6 s and 30 MB."""

import logging
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter
from opentelemetry.sdk import resources
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export, sampling
from opentelemetry.trace import span as trace_span
from opentelemetry.trace import status
from opentelemetry.util import types

from services.runtime import settings
from services.runtime.tracing import spans

FLUSH_SECONDS: Final = 3.0


class Linked(sampling.Sampler):
    """The first span of a trace is sampled when what it is linked to was; else another sampler decides."""

    def __init__(self, others: sampling.Sampler) -> None:
        self._others = others

    def should_sample(  # noqa: PLR0917 (OpenTelemetry's signature)
        self,
        parent_context: object,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: types.Attributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> sampling.SamplingResult:
        """See `sampling.Sampler`."""
        if any(link.context.trace_flags.sampled for link in links or ()):
            return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._others.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)  # type: ignore[arg-type]

    def get_description(self) -> str:
        """See `sampling.Sampler`."""
        return f"Linked({self._others.get_description()})"


class Span:
    """One span; see `spans.Span`."""

    def __init__(self, held: trace.Span) -> None:
        self._held = held
        context = held.get_span_context()
        flags = int(context.trace_flags)
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def set(self, name: str, value: spans.Attribute) -> None:
        """Say something about it."""
        self._held.set_attribute(name, value)

    def end(self, error: BaseException | None = None) -> None:
        """It is over. Of an error its kind only: its words may quote what is not ours to write down."""
        if isinstance(error, Exception):
            self._held.set_status(status.Status(status.StatusCode.ERROR, type(error).__name__))
        elif error is not None:
            self._held.set_attribute("cancelled", True)
        self._held.end()


class OpenTelemetry:
    """Makes spans of one process; see `spans.Backend`.

    Args:
        service: Its name.
        process: Where to send to, and how much.
    """

    def __init__(self, service: str, process: settings.ProcessSettings) -> None:
        # The exporter says at each try that nobody answers, which is the collector's trouble and not the line's.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        named = {
            resources.SERVICE_NAME: f"vectorline-{service}",
            resources.SERVICE_INSTANCE_ID: process.process_name or service,
            resources.DEPLOYMENT_ENVIRONMENT: process.environment,
        }
        self._provider = sdk.TracerProvider(
            # What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say goes before.
            resource=resources.Resource(named).merge(resources.OTELResourceDetector().detect()),
            sampler=_sampler(process.otel_traces_sampler, process.otel_traces_sampler_arg),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter(endpoint=process.otel_exporter_otlp_endpoint))
        )
        self._tracer = self._provider.get_tracer("vectorline")

    def start(self, name: str, kind: spans.Kind, parent: str, links: Sequence[str]) -> spans.Span:
        """See `spans.Backend`."""
        context = trace.set_span_in_context(trace.NonRecordingSpan(_context(parent) or trace_span.INVALID_SPAN_CONTEXT))
        made = [trace.Link(found) for each in links if (found := _context(each)) is not None]
        held = self._tracer.start_span(name, context, kind=trace.SpanKind[kind.value], links=made)
        return Span(held)

    def close(self) -> None:
        """See `spans.Backend`."""
        # In a thread: the SDK's own limits do not hold where nobody answers, and a process has to end in time.
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)


def _context(traceparent: str) -> trace.SpanContext | None:
    found = spans.TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))


def _sampler(name: str, ratio: float) -> sampling.Sampler:
    """By OpenTelemetry's own names; one that goes by the parent goes by what is linked to as well."""
    root: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(ratio),
    }
    based = name.removeprefix("parentbased_")
    return root[name] if based == name else Linked(sampling.ParentBased(root[based]))

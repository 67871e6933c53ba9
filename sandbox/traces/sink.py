"""Takes spans in as a collector does (OTLP over gRPC), and keeps them in memory."""

import concurrent.futures
import dataclasses
import threading
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclasses.dataclass(frozen=True)
class Span:
    """A span as it arrived. Ids are hexadecimal, `parent_id` is empty for the first of a trace; times: nanoseconds."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]  # ids of the spans that it comes from
    began: int
    ended: int
    failed: bool
    attributes: dict[str, Any]


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector on a port of its own, as a context manager."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # it has no types
        add(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """What came in so far."""
        with self._lock:
            return list(self._spans)

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, _context: Any) -> Any:
        """Keep them."""
        found = [
            _span(span, _attributes(several.resource.attributes).get("service.name", ""))
            for several in request.resource_spans
            for scope in several.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += found
        return trace_service_pb2.ExportTraceServiceResponse()


def _span(span: trace_pb2.Span, service: str) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: common_pb2.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None

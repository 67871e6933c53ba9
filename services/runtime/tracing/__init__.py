"""Where a request or a chunk spends its time: spans by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set.

`spans` is what everybody calls; without an endpoint it does nothing. `otel` is imported only with one, and imports the
SDK (the extra `tracing`). `callers` puts spans around calls of other services; around calls that are served,
`interceptors.tracing` does.

What belongs together: a request is a trace, from the gateway on; a task's scan and at most 100 of its chunks, evenly
spread, are part of the trace of the request that made it. A chunk's way from the queue on is a trace of its own, linked
to where it was published, since it begins when a worker is free and may begin twice.
"""

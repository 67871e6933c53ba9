"""A stand-in for a collector of traces, for tests and for `make trace-demo`: it keeps spans, and lays out a chunk's.

`sink` takes spans in by OTLP over gRPC; `tree` puts them together; `__main__` is the demo. All need the extra
`tracing`.
"""

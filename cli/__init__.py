"""The ``vectorline`` command: a gRPC client for people. It uses nothing but the public API."""

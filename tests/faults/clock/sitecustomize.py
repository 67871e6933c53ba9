"""Puts the wall clock of one process wrong: ``CLOCK_SHIFT=embedder-2:3600``. On the PYTHONPATH of a tested line."""

import os
import time

_process, _, _seconds = os.environ.get("CLOCK_SHIFT", "").partition(":")
if _seconds and os.environ.get("PROCESS_NAME") == _process:
    # grpc counts its deadlines in C, by a clock that is not ours to shift: it keeps the real one.
    import grpc.aio._utils as _grpc

    _shift = float(_seconds)
    _time, _time_ns = time.time, time.time_ns
    _grpc.time = type("RealTime", (), {"time": staticmethod(_time)})
    time.time = lambda: _time() + _shift
    time.time_ns = lambda: _time_ns() + int(_shift * 1e9)

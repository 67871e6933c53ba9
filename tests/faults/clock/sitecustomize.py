"""Puts the wall clock of one process wrong: ``CLOCK_SHIFT=embedder-2:3600``. On the PYTHONPATH of a tested line."""

import os
import time

_process, _, _seconds = os.environ.get("CLOCK_SHIFT", "").partition(":")
if _seconds and os.environ.get("PROCESS_NAME") == _process:
    import datetime as _datetime

    _shift = float(_seconds)
    _time, _time_ns, _datetime_class = time.time, time.time_ns, _datetime.datetime
    time.time = lambda: _time() + _shift
    time.time_ns = lambda: _time_ns() + int(_shift * 1e9)

    class _Shifted(_datetime_class):
        @classmethod
        def now(cls, tz=None):
            return _datetime_class.now(tz) + _datetime.timedelta(seconds=_shift)

        @classmethod
        def utcnow(cls):
            return _datetime_class.utcnow() + _datetime.timedelta(seconds=_shift)

    _datetime.datetime = _Shifted

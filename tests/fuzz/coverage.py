"""Which steps from line to line an input takes through the code under test: what tells a new input from an old one."""

import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import services

_ROOT = pathlib.Path(services.__file__).parent
_UNDER_TEST = (str(_ROOT / "ingest"), str(_ROOT / "chunks"))

# A line of a function, and the line before it there.
Step = tuple[str, int, int]


@contextmanager
def watched(steps: set[Step]) -> Iterator[None]:
    """Add the steps taken meanwhile; code outside of ingest and chunks runs at full speed."""

    def call(frame: types.FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(_UNDER_TEST):
            return None
        before = 0

        def line(inner: types.FrameType, _event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal before
            here = inner.f_lineno
            steps.add((name, before, here))
            before = here
            return line

        return line

    previous = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(previous)

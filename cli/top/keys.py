"""The keyboard while the view stands: q or Esc leaves, and nothing that is typed is shown."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

QUIT: Final = frozenset(b"qQ\x1b")
# Arrows and other keys of several characters, which begin with Esc too.
_SEQUENCES: Final = re.compile(rb"\x1b(\[[0-9;]*[A-Za-z~]|O.)")

# Waits so many seconds; True: somebody wants to leave.
Wait = Callable[[float], bool]


@contextlib.contextmanager
def listening() -> Iterator[Wait]:
    """Hear keys at once, without Enter; where there is no keyboard (a pipe, Windows) only time passes."""
    if os.name != "posix" or not sys.stdin.isatty():
        yield _sleep
        return
    termios, tty = importlib.import_module("termios"), importlib.import_module("tty")
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield _heard
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _heard(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], left)
        if not ready:
            continue
        typed = os.read(sys.stdin.fileno(), 64)
        if not typed or QUIT & set(_SEQUENCES.sub(b"", typed)):
            return True
    return False


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False

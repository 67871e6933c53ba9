"""Memory: what is freed goes back to the system, and what stays for good is not searched for garbage again and again.

A service handles messages of megabytes, and glibc would keep their room.
"""

import ctypes
import gc
import sys

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

# A buffer from this size on is mapped by itself and given back when it is freed.
MAPPED_BYTES = 4 * 1024 * 1024
TRIM_BYTES = 16 * 1024 * 1024
# One for the loop's thread and one for all others: each further arena holds its own peak for good.
ARENAS = 2
# Python looks for garbage in cycles after so many more objects than were freed (its own: 700): a chunk makes thousands
# that are no garbage. A seventh of the embedder's CPU went into that search.
GARBAGE_OBJECTS = 5_000


def keep() -> None:
    """All that there is now stays until the process ends: modules and wiring are not searched for garbage any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])


def tune() -> None:
    """Tell glibc's malloc; does nothing where there is another one."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((_M_ARENA_MAX, ARENAS), (_M_MMAP_THRESHOLD, MAPPED_BYTES), (_M_TRIM_THRESHOLD, TRIM_BYTES)):
        mallopt(option, value)

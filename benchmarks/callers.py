"""Many independent callers, each call timed from the moment it was due.

One caller that waits for an answer before it asks again hides a standstill: of three seconds in which nothing is
answered it sees one slow call, where 50 calls a second would see 150 (Gil Tene, "coordinated omission").
"""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent import futures

# More than can be under way while the line answers; a call that finds none free waits, and its wait counts.
CALLERS = 64


def milliseconds(call: Callable[[int], object], *, calls: int, a_second: float) -> list[float]:
    """Make calls at even distances, whatever became of those before.

    Args:
        call: Told its number, from 0; called in many threads at once.
        calls: How many.
        a_second: How many a second.

    Returns:
        Of each call the milliseconds from the moment it was due to its end.
    """

    def timed(number: int, due: float) -> float:
        call(number)
        return (time.monotonic() - due) * 1_000

    with futures.ThreadPoolExecutor(CALLERS) as pool:
        began = time.monotonic()
        under_way = []
        for number in range(calls):
            due = began + number / a_second
            time.sleep(max(0.0, due - time.monotonic()))
            under_way.append(pool.submit(timed, number, due))
        return [each.result() for each in under_way]


def p95_p99(took: Sequence[float]) -> tuple[float, float]:
    """The 95th and 99th percentile."""
    cuts = statistics.quantiles(took, n=100)
    return cuts[94], cuts[98]

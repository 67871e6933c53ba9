"""Weighted turns over the lanes: low is never starved, first never waits long."""

import zlib

from services.chunks import keys

WEIGHTS = {keys.Lane.FIRST: 8, keys.Lane.HIGH: 4, keys.Lane.NORMAL: 2, keys.Lane.LOW: 1}


def _smooth(weights: dict[keys.Lane, int]) -> tuple[keys.Lane, ...]:
    """One round in which each lane has as many turns as its weight, spread evenly (as nginx does it)."""
    credit = dict.fromkeys(weights, 0)
    total = sum(weights.values())
    turns = []
    for _ in range(total):
        for lane, weight in weights.items():
            credit[lane] += weight
        best = max(credit, key=lambda lane: credit[lane])
        credit[best] -= total
        turns.append(best)
    return tuple(turns)


SCHEDULE = _smooth(WEIGHTS)
SCHEDULE_DIGITS = "".join(str(keys.LANES.index(lane) + 1) for lane in SCHEDULE)


def start_of(consumer: str) -> int:
    """Where a consumer begins in the round: spread by name, so that processes that die young do not starve a lane."""
    return zlib.crc32(consumer.encode()) % len(SCHEDULE)

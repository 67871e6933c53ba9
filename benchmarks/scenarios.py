"""What is measured, by the names that `python -m benchmarks` takes, in the order in which a whole run goes."""

from collections.abc import Callable, Iterator

from benchmarks import again, big, loads, peers, quota, scaling, searching, seeing
from benchmarks.figures import Figure, Run

ALL: dict[str, Callable[[Run], Iterator[Figure]]] = {
    "scan": loads.scan,
    "cost": loads.cost,
    "quota": quota.quota,
    "small": quota.small,
    "tokens": quota.tokens,
    "changes": quota.changes,
    "search": searching.search,
    "crowd": searching.crowd,
    "scaling": scaling.scaling,
    "again": again.again,
    "peers": peers.peers,
    "big": big.big,
    "shapes": big.shapes,
    "tracing": seeing.tracing,
    "metrics": seeing.metrics,
}

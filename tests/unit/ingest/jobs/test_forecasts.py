"""What a removal says before it is asked for in earnest: how many, at what price, and whether the namespace goes."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.billing import prices
from services.ingest import manifest_client
from services.ingest.estimating import estimate
from services.ingest.jobs import forecasts

TERMS = estimate.Terms("small", 1_536, prices.Prices(), requests_per_second=1.0, tokens_per_minute=0.0)
VALUES = 1_536 * 4


class Index:
    """A namespace with so many vectors, of which the first hundred can be looked at."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def count(self, _namespace: str) -> tuple[int, str]:
        return self._count, "http://index"

    async def some_ids(self, _namespace: str, prefix: str) -> Sequence[str]:
        return [f"{prefix}{number}" for number in range(100)]

    async def fetch(self, _namespace: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {name: {"text": "x" * 1_000} for name in ids}


def manifest(**changes: Any) -> manifest_client.Manifest:
    """Two thousand are known, and are all that is in the namespace."""
    look = manifest_client.Look(count=2_000, known=2_000, doubts=0)
    fields = {"uri": "header", "known": 2_000, "namespace_known": 2_000, "dimension": 1_536, "look": look, **changes}
    return manifest_client.Manifest(**fields)


async def asked(made: manifest_client.Manifest, count: int = 2_000, *, load: bool = False) -> Any:
    index: Any = Index(count)
    return await forecasts.Forecasts(index, TERMS).of_removal(made, "v2", 7, load=load)


@pytest.mark.parametrize("load", [True, False])
async def test_a_namespace_with_nothing_else_is_dropped_for_five_units(*, load: bool) -> None:
    told = await asked(manifest(), load=load)
    assert (told.drops_namespace, told.why_not_dropped, told.removed) == (True, "", 2_000)
    assert (told.bill.write_units, told.bill.read_units, told.bill.HasField("at_most")) == (5, 0, False)


@pytest.mark.parametrize(
    ("changes", "count", "reads", "why"),
    [
        ({"namespace_known": 2_300}, 2_300, 2, "300 vectors of other questions"),
        ({"namespace_unknown": 2}, 2_002, 22, "of other questions may be"),
        ({"namespace_pending": 1}, 2_000, 22, "other loads write"),
        ({}, 2_001, 22, "2,001 vectors are in it, and 2,000 are known"),
    ],
)
async def test_where_anything_else_is_in_it_the_price_is_that_of_deletes_by_ids(
    changes: dict[str, Any], count: int, reads: int, why: str
) -> None:
    told = await asked(manifest(**changes), count)
    assert not told.drops_namespace
    assert why in told.why_not_dropped
    least, most = told.bill.write_units, told.bill.at_most.write_units
    assert 2_000 * VALUES // 1_000 <= least < 2_000 * (VALUES + 1_010) // 1_000 <= most
    # A look before each of two deletes, and a list of the ids where what is known does not account for all.
    assert told.bill.read_units == reads


async def test_of_a_load_only_what_is_known_goes() -> None:
    told = await asked(manifest(unknown=3, namespace_unknown=3), 2_003, load=True)
    assert (told.removed, told.drops_namespace) == (2_000, False)
    assert told.why_not_dropped == "vectors of this question stay"


async def test_where_nothing_is_known_it_may_be_all_of_the_namespace_by_ids_or_with_it() -> None:
    told = await asked(manifest_client.Manifest(dimension=1_536), 500)
    assert (told.removed, told.ids, told.drops_namespace) == (500, 500, False)
    assert "not known before its ids are listed" in told.why_not_dropped
    assert told.bill.write_units == 5
    assert told.bill.at_most.write_units >= 500 * VALUES // 1_000


async def test_what_is_known_is_held_against_the_log_first_where_its_place_in_it_is_known() -> None:
    told = await asked(manifest(lsn=900))
    assert (told.bill.write_units, told.bill.read_units) == (5, 0.25)


async def test_of_an_empty_namespace_nothing_is_said_to_go() -> None:
    told = await asked(manifest_client.Manifest(), 0)
    assert (told.removed, told.bill.write_units, told.why_not_dropped) == (0, 0, "")

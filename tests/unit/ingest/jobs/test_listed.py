"""What a manifest knows and what the index lists, side by side."""

import pathlib
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.jobs import listed
from services.ingest.manifest import runs, sorting, spool
from tests.unit.ingest.jobs import bucket

IDS = st.sets(st.integers(0, 40).map(lambda number: f"7.{number}"))


def joined(
    folder: pathlib.Path, known: Mapping[str, tuple[str, str] | None], there: Sequence[str]
) -> tuple[set[str], dict[str, int], set[str], int]:
    """Missing ids, present ones by their place among all that are known, strange ones, and unknown ones listed."""
    ids = spool.Spool(folder, "listed")
    for start in range(0, len(there), 3):  # as pages come
        names = [name.encode() for name in there[start : start + 3]]
        ids.add(spool.unknown(bucket.HASHES, names), names)
    missing: set[str] = set()
    strange: set[str] = set()
    present: dict[str, int] = {}
    unknown = 0
    for side in listed.side_by_side(bucket.sorted_entries(folder, known), ids):
        missing |= {name.decode() for name in side.missing.ids}
        strange |= {name.decode() for name in side.strange}
        present |= {name.decode(): place for name, place in zip(side.present.ids, side.places.tolist(), strict=True)}
        unknown += side.unknown
    return missing, present, strange, unknown


@settings(max_examples=60, deadline=None)
@given(known=IDS, unknown=IDS, there=IDS, small=st.booleans())
def test_each_id_is_told_once_and_as_what_it_is(
    tmp_path_factory: pytest.TempPathFactory, known: set[str], unknown: set[str], there: set[str], small: bool
) -> None:
    unknown = unknown - known
    pages = sorted(there)
    random.Random(7).shuffle(pages)
    entries: dict[str, tuple[str, str] | None] = dict.fromkeys(known, ("t", "m")) | dict.fromkeys(unknown)
    with pytest.MonkeyPatch.context() as patch:
        if small:  # so that everything falls on borders of blocks and of files
            patch.setattr(runs, "BLOCK", 2)
            patch.setattr(sorting, "_HELD", 4)
        missing, present, strange, listed_unknown = joined(tmp_path_factory.mktemp("ids"), entries, pages)
    assert missing == known - there
    assert set(present) == known & there
    assert strange == there - known - unknown
    assert listed_unknown == len(there & unknown)
    assert len(set(present.values())) == len(present)
    assert all(0 <= place < len(known) for place in present.values())


def test_an_id_that_is_listed_twice_is_one(tmp_path: pathlib.Path) -> None:
    """A page may be asked for again, when the list broke off."""
    _, present, strange, _ = joined(tmp_path, {"7.1": ("t", "m")}, ["7.1", "7.2", "7.2", "7.1"])
    assert (set(present), strange) == ({"7.1"}, {"7.2"})


def test_nothing_beside_nothing(tmp_path: pathlib.Path) -> None:
    assert joined(tmp_path, {}, []) == (set(), {}, set(), 0)

"""services/reasons holds each name that the code raises, and no other; one that could not be listed is named."""

import functools
import pathlib

import pytest

from docs import reasons
from services.reasons import internal, tasks


@functools.cache
def raised() -> frozenset[reasons.Raised]:
    return frozenset(reasons.raised())


@pytest.mark.parametrize("kind", sorted(reasons.listed()))
def test_what_is_raised_is_listed_and_the_other_way_round(kind: str) -> None:
    found = {each.name for each in raised() if each.kind == kind}
    listed = {each.name for each in reasons.listed()[kind]}
    if kind == reasons.REQUEST:
        listed |= {each.name for each in internal.INTERNAL}
    if kind == reasons.TASK:  # a task is blocked by what a request of the line itself met
        met = {each.name for each in raised() if each.kind == reasons.REQUEST}
        found |= met & {each.name for each in tasks.BLOCKED}

    assert found - listed == set(), "say in services/reasons what it means and what to do"
    assert listed - found == set(), "nobody raises it any more: take it out"


@pytest.mark.parametrize("kind", sorted(reasons.listed()))
def test_each_name_stands_once_with_a_meaning_and_a_remedy(kind: str) -> None:
    several = reasons.listed()[kind]

    assert len({each.name for each in several}) == len(several)
    for each in several:
        assert (each.meaning[-1], each.remedy[-1]) == (".", "."), each.name


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        ('raise errors.NotFound("w", reason="GONE")', reasons.REQUEST, "GONE"),
        ("raise errors.NotFound('w')", reasons.REQUEST, "NOT_FOUND"),
        ('raise errors.Conflict("w", reason=HERE)', reasons.REQUEST, "HERE_TOO"),
        ('raise errors.Conflict("w", reason=a.HERE)', reasons.REQUEST, "HERE_TOO"),
        ('raise failures.FileFailure("ODD_FILE", "w")', reasons.TASK, "ODD_FILE"),
        ('await tasks.block(task_id, "STUCK" if x else HERE, "w")', reasons.TASK, "STUCK"),
        ('task = {"error_reason": "ENDED"}', reasons.TASK, "ENDED"),
        ('return Reject("bad_moon", "w")', reasons.REJECTED, "bad_moon"),
        ('return contract.Skip("old_row", "w")', reasons.SKIPPED, "old_row"),
        ('yield warning.Warning("looks_odd", "w", count=1)', reasons.WARNING, "looks_odd"),
        ('return warning_pb2.Warning(code="looks_odd", message="w")', reasons.WARNING, "looks_odd"),
    ],
)
def test_a_reason_is_found_where_it_is_raised(tmp_path: pathlib.Path, line: str, kind: str, name: str) -> None:
    (tmp_path / "a.py").write_text(f'HERE = "HERE_TOO"\nasync def f(task_id, x):\n    {line}\n')

    assert (kind, name) in {(each.kind, each.name) for each in reasons.raised(tmp_path)}


@pytest.mark.parametrize(
    "line",
    ["raise errors.Conflict('w', reason=f'{x}_GONE')", "raise failures.Failure(words(x), 'w')", "Reject(x, 'w')"],
)
def test_one_that_could_not_be_listed_is_named(tmp_path: pathlib.Path, line: str) -> None:
    (tmp_path / "a.py").write_text(f"def f(x):\n    {line}\n")

    with pytest.raises(reasons.Unlisted, match="a:2"):
        reasons.raised(tmp_path)

"""The corpus holds, and a few seconds of new inputs: `make fuzz` tries them for minutes."""

import random

import pytest

from tests.fuzz import case, invariants, loop

SECONDS = 3.0


@pytest.mark.parametrize("one", [pytest.param(one, id=name) for name, one in case.kept().items()])
def test_an_input_of_the_corpus_keeps_every_invariant(one: case.Case) -> None:
    invariants.check(one, random.Random(one.name))


def test_new_inputs_keep_every_invariant() -> None:
    fuzzer = loop.Fuzzer([*case.kept().values()][::5], seed=1)
    fuzzer.run(SECONDS)
    assert [found.trace for found in fuzzer.found] == []
    assert fuzzer.inputs > 20


def test_an_input_reads_back_as_it_was_kept() -> None:
    one = case.Case(b"a\nb\xff", {"start_date": "2025-01-01", "metadata_columns": ["x"]}, 3, tiny=True)
    assert case.Case.from_bytes(one.to_bytes()) == one

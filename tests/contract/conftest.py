"""One whole line for the tests of the contract (API.md), and small tasks that are in every state that lasts."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import csvs
from tests.support import line as lines
from tests.support.line import Line


@pytest.fixture(scope="package")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The line without a request limit."""
    # A refused account is probed soon again, so that what comes after a test of it does not wait a minute.
    chosen = {"OPENAI_RATE_LIMIT": "0", "PROBE_SECONDS": "1"}
    with lines.running(tmp_path_factory.mktemp("contract"), **chosen) as running:
        yield running


@pytest.fixture(scope="package")
def done(line: Line) -> dict[str, Any]:
    """A task that completed, of 20 rows."""
    return line.finished(line.upload(csvs.of(csvs.rows(20)), namespace="contract-done"))


@pytest.fixture(scope="package")
def flawed(line: Line) -> dict[str, Any]:
    """A task of 6 rows: 2 indexed, 1 skipped, 3 failed, with cells that a spreadsheet would run."""
    rows = [
        ("i1", "a good row", "1", "true", "1"),
        ("", "=1+1", "1", "true", "1"),
        ("i3", "", "+2", "true", "@x"),
        ("i4", "another good row", "1", "true", "1"),
        ("i1", "its id is taken", "1", "true", "1"),
        ("", '-5, and a "quote"', "1", "true", "1"),
    ]
    return line.finished(line.upload(csvs.of(rows), namespace="contract-flawed"))

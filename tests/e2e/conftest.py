"""One whole line for all end-to-end tests of a session."""

from collections.abc import Iterator

import pytest

from tests.support import line as lines


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lines.Line]:
    """The line without a request limit, with two embedders."""
    with lines.running(tmp_path_factory.mktemp("line"), OPENAI_RATE_LIMIT="0", EMBEDDERS="2") as running:
        yield running

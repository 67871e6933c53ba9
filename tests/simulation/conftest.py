"""What is left behind by seeds is collected between them."""

from collections.abc import Callable, Iterator

import pytest

from tests.simulation import world


@pytest.fixture(scope="module")
def collect() -> Iterator[Callable[[], None]]:
    with world.tidy() as collecting:
        yield collecting

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of examples print no log lines."""
    with structlog.testing.capture_logs():
        yield

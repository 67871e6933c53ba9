"""One stage for all cells of a session, and the table at its end."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.faults import stage as stages
from tests.faults import table
from tests.faults.scene import Result


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Stage]:
    made = stages.Stage(tmp_path_factory.mktemp("stage"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[list[Result]]:
    """Results by cell; at the end they are printed."""
    found: list[Result] = []
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        table.show(found)


def pytest_configure(config: pytest.Config) -> None:
    pathlib.Path(config.rootpath, "docs").mkdir(exist_ok=True)

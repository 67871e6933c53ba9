"""Drills last minutes each: they run by `make drills` alone, on the stage of tests/faults."""

import os
from collections.abc import Iterator

import pytest

from tests.faults import scene as scenes
from tests.faults import stage as stages

collect_ignore_glob = [] if os.environ.get("DRILLS") else ["test_*.py"]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Stage]:
    made = stages.Stage(tmp_path_factory.mktemp("stage"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def scene(stage: stages.Stage, request: pytest.FixtureRequest) -> Iterator[scenes.Scene]:
    """A scene on a calm stage, by the test's name."""
    stage.configure({})
    stage.reset()
    made = scenes.Scene(stage, request.node.name.removeprefix("test_"))
    try:
        yield made
    finally:
        made.close()

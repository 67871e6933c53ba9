"""A fake line, and the command run against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer import testing

from cli import main
from tests.unit.cli import fake_line

Run = Callable[..., testing.Result]


@pytest.fixture
def line() -> Iterator[fake_line.FakeLine]:
    made = fake_line.FakeLine()
    yield made
    made.close()


@pytest.fixture
def run(line: fake_line.FakeLine, tmp_path, monkeypatch) -> Run:
    """Runs the command in an empty folder, its stdout and stderr apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in (
        "GATEWAY_URL",
        "VECTORLINE_PROFILE",
        "RUN_DIR",
        "NO_COLOR",
        "VECTORLINE_DEBUG",
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in line.environment.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, input: str | None = None) -> testing.Result:  # noqa: A002 (as the runner calls it)
        return testing.CliRunner().invoke(main.app, list(arguments), input=input, catch_exceptions=False)

    return invoke

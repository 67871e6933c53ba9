from __future__ import annotations

import pytest

from sandbox.demo import whole


class Runs:
    """Notes what would be run, and answers as told."""

    def __init__(self, **codes: int | BaseException) -> None:
        self.codes = codes
        self.names: list[str] = []

    def __call__(self, command) -> int:
        name = "demo" if "sandbox.demo" in command else command[-1]
        self.names.append(name)
        code = self.codes.get(name, 0)
        if isinstance(code, BaseException):
            raise code
        return code


def test_what_the_demo_starts_it_stops():
    runs = Runs()

    assert whole.around(False, runs) == 0
    assert runs.names == ["up", "demo", "down"]


def test_a_line_that_was_up_is_left_alone():
    runs = Runs(demo=1)

    assert whole.around(True, runs, ["--rows", "10"]) == 1
    assert runs.names == ["demo"]


def test_a_demo_that_fails_still_stops_its_line_and_keeps_its_code():
    runs = Runs(demo=1)

    assert whole.around(False, runs) == 1
    assert runs.names == ["up", "demo", "down"]


def test_a_line_that_does_not_start_is_not_demonstrated():
    runs = Runs(up=3)

    assert whole.around(False, runs) == 3
    assert runs.names == ["up", "down"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_a_demo_that_is_stopped_still_stops_its_line(stop):
    runs = Runs(demo=stop)

    with pytest.raises(type(stop)):
        whole.around(False, runs)
    assert runs.names == ["up", "demo", "down"]

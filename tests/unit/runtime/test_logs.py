"""A line for programs, and the same for people on a terminal."""

import json
import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from services.runtime import logs, settings
logs.configure(settings.ProcessSettings(), "ingest")
log = structlog.get_logger()
for _ in range(100):
    log.warning("It is away.", action="away", why="\\x1b[2J of a server")
try:
    raise ConnectionError("refused")
except ConnectionError:
    log.exception("It broke.", action="broken", incident="4711")
"""


def on_a_terminal(**environment: str) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", **environment},
    ):
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return shown.decode()


def piped(**environment: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout.splitlines()


def test_programs_get_an_object_a_line_and_a_flood_is_cut() -> None:
    lines = [json.loads(line) for line in piped()]

    assert [line["action"] for line in lines] == ["away"] * 5 + ["broken"]
    assert lines[0]["message"] == "It is away."
    assert lines[-1]["exception"].startswith("ConnectionError: refused\n")


def test_people_get_columns_in_colour_that_no_server_can_steer() -> None:
    shown = on_a_terminal()

    assert "\x1b[" in shown
    assert "\x1b[2J" not in shown
    assert "It is away." in shown
    assert "ConnectionError: refused" in shown
    assert "{" not in shown


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_none(environment: dict[str, str]) -> None:
    shown = on_a_terminal(**environment)

    assert "\x1b" not in shown
    assert "It is away." in shown


def test_the_form_can_be_chosen() -> None:
    assert json.loads(on_a_terminal(LOG_FORMAT="json").splitlines()[0])["action"] == "away"
    assert piped(LOG_FORMAT="text")[0].count("It is away.") == 1

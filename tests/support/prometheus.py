"""Prometheus's tools for a test, or a sentence that says why it is skipped."""

import pathlib
import subprocess

import pytest

from observe import servers


def binary(name: str) -> pathlib.Path:
    """The path of `prometheus`, `promtool` or `alertmanager`; skips the test where there is none."""
    try:
        return servers.path(name)
    except servers.MissingServer as missing:
        pytest.skip(str(missing))


def promtool(*arguments: str, given: str | None = None, folder: pathlib.Path | None = None) -> tuple[int, str]:
    """Run it; answers the exit code and all that it said."""
    done = subprocess.run(
        [str(binary("promtool")), *arguments],
        input=given,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr

"""Every command and snippet of README, docs and runbooks, on a real line, as a reader would run them."""

import os
import pathlib
import sys

import pytest

from tests.support import examples
from tests.support.line import ROOT, Line


@pytest.mark.timeout(480)  # a page is up to two dozen commands, each a process, on a machine that may be busy
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("README.md", 3),
        ("docs/tutorial.md", 7),
        ("docs/how-to.md", 12),
        ("docs/reference/calls.md", 6),
        ("deploy/runbooks/routine.md", 2),
        ("deploy/runbooks/incident.md", 1),
        ("deploy/runbooks/capacity.md", 2),
    ],
)
def test_a_reader_gets_what_the_document_says(
    line: Line, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool, words in {"vectorline": "-m cli", "python3": ""}.items():  # as an activated .venv has them
        (tools / tool).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (tools / tool).chmod(0o755)
    here = tmp_path / "here"
    (here / ".run").mkdir(parents=True)
    foreign = ("INGEST_", "EMBEDDER_", "INDEXER_", "VECTORLINE_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environment |= {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "GATEWAY_URL": line.endpoints["GATEWAY_URL"],
        "API_KEY": line.endpoints["API_KEY"],
    }
    told = "".join(f"{name}={line.endpoints[name]}\n" for name in ("GATEWAY_URL", "API_KEY"))
    (here / ".run" / "endpoints.env").write_text(told)
    monkeypatch.chdir(here)
    for key in ("GATEWAY_URL", "API_KEY"):
        monkeypatch.setenv(key, environment[key])
    assert examples.run(ROOT / name, {}, folder=here, environment=environment) == number

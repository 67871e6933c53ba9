"""Runs the examples of a document in order: ```python and ```bash blocks, each with the ```text block behind it."""

import contextlib
import dataclasses
import io
import pathlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
# What a shell has learned is handed to the next block.
_KEEP = "declare -p TASK 2>/dev/null > .kept || true"


@dataclasses.dataclass(frozen=True)
class Example:
    """A block.

    Attributes:
        language: python or bash.
        line: Where it stands in the document.
        code: What is run.
        output: What it prints, with ... for what differs from run to run; None: anything.
    """

    language: str
    line: int
    code: str
    output: str | None


def of(document: pathlib.Path) -> Iterator[Example]:
    """The examples of a document."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Example(found[1], text.count("\n", 0, found.start()) + 2, found[2], found[3])


def run(
    document: pathlib.Path,
    replaced: Mapping[str, str],
    *,
    folder: pathlib.Path | None = None,
    environment: Mapping[str, str] | None = None,
    told: Callable[[Example], None] = lambda _: None,
) -> int:
    """Run them all, and hold their output to what is written. Blocks of Python share their names.

    Args:
        document: Markdown.
        replaced: What stands for a reader's own, e.g. an address, by what it is here.
        folder: Where shell blocks run.
        environment: Of shell blocks.
        told: Hears of each once it has run.

    Returns:
        How many there were.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    examples = list(of(document))
    for example in examples:
        code = example.code
        for written, real in replaced.items():
            code = code.replace(written, real)
        place = f"{document.name}:{example.line}"
        if example.language == "bash":
            printed = _shell(code, place, folder, environment)
        else:
            with contextlib.redirect_stdout(io.StringIO()) as caught:
                exec(compile("\n" * (example.line - 1) + code, str(document), "exec"), names)  # the document is ours
            printed = caught.getvalue()
        if example.output is not None:
            assert _same(example.output, printed), f"{place} printed\n{printed}\nand not\n{example.output}"
        told(example)
    return len(examples)


def _same(written: str, printed: str) -> bool:
    """Whether it printed what is written, with anything for ... and any blanks for blanks."""
    words = [r"\s+".join(map(re.escape, part.split())) for part in written.split("...")]
    pattern = r"\s*.*?\s*".join(words)
    return re.fullmatch(rf"\s*{pattern}\s*", printed, re.DOTALL) is not None


def _shell(code: str, place: str, folder: pathlib.Path | None, environment: Mapping[str, str] | None) -> str:
    script = f"set -euo pipefail\n[ -f .kept ] && source .kept\n{code}\n{_KEEP}\n"
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, f"{place} ended with {run.returncode}\n{run.stdout}\n{run.stderr}"
    return run.stdout

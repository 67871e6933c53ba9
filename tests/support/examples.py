"""Runs the examples of a document: its ```python blocks in order, each with what is in the ```text block behind it."""

import contextlib
import dataclasses
import doctest
import io
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Example:
    """A block.

    Attributes:
        line: Where it stands in the document.
        code: What is run.
        output: What it prints, with ... for what differs from run to run; None: anything.
    """

    line: int
    code: str
    output: str | None


def of(document: pathlib.Path) -> Iterator[Example]:
    """The examples of a document."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Example(text.count("\n", 0, found.start()) + 2, found[1], found[2])


def run(document: pathlib.Path, replaced: Mapping[str, str]) -> int:
    """Run them all with the same names, and hold their output to what is written.

    Args:
        document: Markdown.
        replaced: What stands for a reader's own, e.g. an address, by what it is here.

    Returns:
        How many there were.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    examples = list(of(document))
    for example in examples:
        code = example.code
        for written, real in replaced.items():
            code = code.replace(written, real)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (example.line - 1) + code, str(document), "exec"), names)  # the document is ours
        if example.output is not None:
            same = doctest.OutputChecker().check_output(example.output, printed.getvalue(), doctest.ELLIPSIS)
            assert same, f"{document.name}:{example.line} printed\n{printed.getvalue()}\nand not\n{example.output}"
    return len(examples)

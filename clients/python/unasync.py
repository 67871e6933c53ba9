"""Makes `_sync` of `_async`: the same files without async and await. A test holds what is committed to it.

    python clients/python/unasync.py        (ruff, which lays the result out, is part of `make install`)

It works token by token, as unasync does. unasyncd does more than is needed here, and wants a version of rich that the
rest of the repository has left behind.
"""

import io
import itertools
import pathlib
import re
import subprocess
import sys
import tokenize

PACKAGE = pathlib.Path(__file__).resolve().parent / "src" / "vectorline_client"
BY_HAND = ("__init__.py", "platform.py")
DROPPED = frozenset({"async", "await"})
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "_async": "_sync",
    "aclose": "close",
    "anext": "next",
}
NOTE = "# Made by unasync.py of {path}: edit that one.\n"


def converted(source: str) -> str:
    """The same module without async and await, not laid out."""
    starts = [0, *itertools.accumulate(len(line) for line in source.splitlines(keepends=True))]
    parts, done = [], 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        text = _renamed(token)
        if text == token.string:
            continue
        parts += [source[done:begin], text]
        done = end if text else end + 1  # what is dropped takes the blank behind it along
    return "".join(parts) + source[done:]


def _renamed(token: tokenize.TokenInfo) -> str:
    text = token.string
    if token.type == tokenize.NAME:
        return "" if text in DROPPED else NAMES.get(text, re.sub("^Async(?=[A-Z])", "", text))
    if token.type == tokenize.STRING:  # a docstring names classes, too
        return re.sub(r"\bAsync(?=[A-Z])", "", text)
    return text


def laid_out(text: str, path: pathlib.Path) -> str:
    """Text as the repository lays it out."""
    for command in (["check", "--fix", "--select", "I", "--quiet"], ["format", "--quiet"]):
        run = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(run, input=text, capture_output=True, text=True, check=True).stdout
    return text


def made() -> dict[pathlib.Path, str]:
    """Each file of `_sync` that is made, with what is to be in it."""
    found = {}
    for path in sorted((PACKAGE / "_async").glob("*.py")):
        if path.name not in BY_HAND:
            target = PACKAGE / "_sync" / path.name
            text = NOTE.format(path=f"_async/{path.name}") + converted(path.read_text(encoding="utf-8"))
            found[target] = laid_out(text, target)
    return found


def main() -> None:
    """Write them."""
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Makes docs/logs.md from the code: ``python docs/actions.py``. Every log line's `action`, level, sentence and fields.

It reads the sources, and runs none of them. A line whose action or sentence is not written out where it is logged could
not be listed, and is an error.
"""

import ast
import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "logs.md"
SOURCES = ROOT / "services"
LOGGERS = frozenset({"log", "_log"})
# What a method of a logger is called, and the level that its line shows.
LEVELS = {each: each for each in ("debug", "info", "warning", "error", "critical")} | {"exception": "error"}

HEAD = """# What the services log

Made from the code by `make logs-file`; do not edit.

A line on stdout is an event: a JSON object, or on a terminal the same in columns (`LOG_FORMAT`). Every line has
`timestamp`, `level`, `message`, `action`, `service` and `process`; lines about a task or a chunk have `task_id` and
`chunk`, those within a recorded trace `trace_id` and `span_id`, errors of ours `exception`. `action` is stable: alarms
and searches go by it. Of alike warnings and errors (same action, task, dependency) five a minute are printed; the next
line after a pause says in `repeated` how many were left out. Lines of libraries have `logger` in place of `action`.

| action | level | what it means | also has | logged in |
| --- | --- | --- | --- | --- |
"""


class Unlisted(Exception):
    """A log line that the page could not tell of; the message names its place and the remedy."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One place where something is logged."""

    action: str
    level: str
    sentence: str
    fields: tuple[str, ...]
    place: str


def lines(sources: pathlib.Path = SOURCES) -> list[Line]:
    """Every log line of the sources.

    Raises:
        Unlisted: One has no action, or action or sentence are not written out.
    """
    found: list[Line] = []
    for path in sorted(sources.rglob("*.py")):
        place = path.relative_to(sources).with_suffix("").as_posix()
        found += _of(ast.parse(path.read_text(encoding="utf-8")), place)
    return found


def _of(tree: ast.Module, place: str) -> Iterator[Line]:
    for call, within in _calls(tree, None):
        function = call.func
        if _is_logger_made(call) and not _is_kept_well(within, call, tree):
            raise Unlisted(f"{place}:{call.lineno}: a logger is called log or _log, so that its lines are found.")
        if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
            continue
        if function.value.id not in LOGGERS or function.attr not in LEVELS:
            continue
        action = next((each.value for each in call.keywords if each.arg == "action"), None)
        if not (isinstance(action, ast.Constant) and isinstance(action.value, str)):
            raise Unlisted(f'{place}:{call.lineno}: write the line\'s action out: action="name".')
        sentence = _written(call.args[0] if call.args else None, within)
        if sentence is None:
            raise Unlisted(f"{place}:{call.lineno}: write the line's sentence out; what varies belongs into a field.")
        fields = tuple(sorted(each.arg for each in call.keywords if each.arg not in (None, "action", "exc_info")))
        yield Line(action.value, LEVELS[function.attr], sentence, fields, place)


def _calls(node: ast.AST, within: ast.AST | None) -> Iterator[tuple[ast.Call, ast.AST | None]]:
    """Every call, with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child, within
        yield from _calls(child, child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else within)


def _is_logger_made(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in ("get_logger", "bind")


def _is_kept_well(within: ast.AST | None, call: ast.Call, tree: ast.Module) -> bool:
    """At the top of its module, under one of our names; `bind` is of identities too."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "bind":
        return not (isinstance(call.func.value, ast.Name) and call.func.value.id in LOGGERS)
    named = [
        target.id
        for each in tree.body
        if isinstance(each, ast.Assign) and each.value is call
        for target in each.targets
        if isinstance(target, ast.Name)
    ]
    return within is None and bool(named) and LOGGERS.issuperset(named)


def _written(sentence: ast.expr | None, within: ast.AST | None) -> str | None:
    """A text that is written out, there or a line before."""
    if isinstance(sentence, ast.Constant) and isinstance(sentence.value, str):
        return sentence.value
    if isinstance(sentence, ast.Name) and within is not None:
        for each in ast.walk(within):
            if isinstance(each, ast.Assign) and [ast.unparse(target) for target in each.targets] == [sentence.id]:
                return _written(each.value, None)
    return None


def page(found: Sequence[Line]) -> str:
    """The page: a row an action."""
    by_action: dict[str, list[Line]] = collections.defaultdict(list)
    for line in found:
        by_action[line.action].append(line)
    rows = [_row(action, by_action[action]) for action in sorted(by_action)]
    return HEAD + "".join(f"{row}\n" for row in rows)


def _row(action: str, several: Sequence[Line]) -> str:
    def each(values: Iterator[str], between: str = ", ") -> str:
        return between.join(dict.fromkeys(values))

    cells = (
        f"`{action}`",
        each(line.level for line in several),
        each((line.sentence for line in several), " / ").replace("|", "\\|"),
        each(f"`{field}`" for line in several for field in line.fields),
        each(f"`{line.place}`" for line in several),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(lines()), encoding="utf-8")


if __name__ == "__main__":
    main()

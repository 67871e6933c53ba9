"""Finds in the code which reasons it raises, and makes docs/reference/reasons.md of them and of `services/reasons`.

A reason that is neither written out where it is raised, nor a constant, nor handed on from where it was raised, could
not be listed, and is an error.
"""

import ast
import collections
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "services"
sys.path.insert(0, str(ROOT))

from gateway import render  # noqa: E402 (the repository is on the path only now)
from services.embedder.working import rows as embedder_rows  # noqa: E402
from services.indexer.ledger import gate, namespaces  # noqa: E402
from services.ingest import refusals  # noqa: E402
from services.ingest.contract import unreadable  # noqa: E402
from services.ingest.planning import findings  # noqa: E402
from services.ingest.sources import s3_errors  # noqa: E402
from services.reasons import internal, reason, requests, rows, tasks, warnings  # noqa: E402
from services.runtime import errors  # noqa: E402

MADE = "Made from the code by `make reference-files`; do not edit."
# As Envoy's transcoder maps them (google.rpc.Code).
HTTP = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
REQUEST, TASK, REJECTED, SKIPPED, WARNING = "request", "task", "rejected", "skipped", "warning"
# What is called with a reason that is no keyword: of which kind it is, where it stands, how many arguments there are.
PLACES = {
    **dict.fromkeys(("Failure", "SourceFailure", "FileFailure", "StoreFailure"), (TASK, 0, 2)),
    **dict.fromkeys(("fail", "block", "block_task"), (TASK, 1, 3)),
    "fail_chunk": (REJECTED, 1, 2),
    "Reject": (REJECTED, 0, 2),
    "Defect": (REJECTED, 0, 3),
    "_refuse": (REJECTED, 2, 3),
    "Skip": (SKIPPED, 0, 2),
    "Rebuilt": (SKIPPED, 3, 5),
    "Warning": (WARNING, 0, 2),
}
# Where a reason is taken from a table, what the table holds.
TABLES: Mapping[str, Iterable[str]] = {
    REJECTED: (*unreadable.FLAWS, *embedder_rows.WORDS),
    SKIPPED: tuple(unreadable.SKIPPED),
    WARNING: tuple(code for code, _ in findings.SKIPPED.values()),
    TASK: tuple(each.value for each in s3_errors.Kind if each.value),
    REQUEST: tuple(each.name for each in gate.Answer if each is not gate.Answer.GO),
}
TAKEN = frozenset({"verdict.kind.value", "answer.name", "gate.Answer.BLOCKED.name", "code", "flaw"})


class Unlisted(Exception):
    """A reason that the page could not tell of; the message names its place and the remedy."""


@dataclasses.dataclass(frozen=True)
class Raised:
    """One place where something is said to be wrong; `error` is the class of a request's."""

    kind: str
    name: str
    error: str = ""


def raised(sources: pathlib.Path = SOURCES) -> set[Raised]:
    """Every reason that the sources raise.

    Raises:
        Unlisted: One is neither written out nor handed on.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(sources.rglob("*.py"))}
    words = {path: _assigned(tree) for path, tree in trees.items()}
    shared: dict[str, dict[str, set[str]]] = collections.defaultdict(dict)
    for path, own in words.items():
        shared[path.stem] |= own
    found = set()
    for path, tree in trees.items():
        place = path.relative_to(sources).with_suffix("").as_posix()
        if place.startswith(("reasons/", "doctor/")):  # the doctor prints, and raises nothing to callers
            continue
        for node in ast.walk(tree):
            for kind, error, said in _said(node):
                for name in _values(said, words[path], shared, f"{place}:{getattr(node, 'lineno', 0)}"):
                    if name or error:
                        found.add(Raised(kind, name or DEFAULTS[error], error))
    return found | {Raised(kind, name) for kind, several in TABLES.items() for name in several}


CLASSES = {
    name: each
    for module in (errors, namespaces)
    for name, each in vars(module).items()
    if isinstance(each, type) and issubclass(each, errors.ServiceError) and each is not errors.ServiceError
}
DEFAULTS = {name: each.default_reason for name, each in CLASSES.items()}


def _said(node: ast.AST) -> Iterator[tuple[str, str, ast.expr]]:
    """Kind, class of the error and reason of what is said there."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "error_reason":
                yield TASK, "", value
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and ast.unparse(target.elts[0]) == "told.reason":
                yield REQUEST, "", node.value.elts[0]
    if not isinstance(node, ast.Call):
        return
    called = ast.unparse(node.func).rpartition(".")[2]
    keyword = next((each.value for each in node.keywords if each.arg in ("reason", "code")), None)
    if called in CLASSES:
        yield REQUEST, called, keyword or ast.Constant("")
    elif called in PLACES:
        kind, place, least = PLACES[called]
        if keyword is not None or len(node.args) in (least, least + 1):  # others have methods of these names, too
            yield kind, "", keyword or node.args[place]


def _values(
    said: ast.expr, own: Mapping[str, set[str]], shared: Mapping[str, Mapping[str, set[str]]], place: str
) -> set[str]:
    """What it may be: nothing where it is handed on."""
    match said:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return _values(one, own, shared, place) | _values(other, own, shared, place)
        case ast.BoolOp(values=several):
            return set().union(*(_values(each, own, shared, place) for each in several))
        case ast.Name(id=name) if own.get(name):
            return own[name]
        case ast.Attribute(value=ast.Name(id=module), attr=name) if name in shared.get(module, {}):
            return shared[module][name]
    written = ast.unparse(said)
    if written in TAKEN or written == "reason" or written.endswith(".reason"):
        return set()
    raise Unlisted(f"{place}: write the reason out, or make it a constant of a module, in place of {written}.")


def _assigned(tree: ast.Module) -> dict[str, set[str]]:
    """Texts that a name is given somewhere in a module, by themselves or through a name that stands above."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        for each in [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                found.setdefault(name, set()).add(each.value)
            elif isinstance(each, ast.Name):
                found.setdefault(name, set()).update(found.get(each.id, set()))
    return found


def listed() -> dict[str, Sequence[reason.Reason]]:
    """What stands in the registry, by kind; of requests without what only the services say to each other."""
    return {
        REQUEST: requests.REQUESTS,
        TASK: (*tasks.FAILED, *tasks.BLOCKED),
        REJECTED: rows.REJECTED,
        SKIPPED: rows.SKIPPED,
        WARNING: warnings.WARNINGS,
    }


def page() -> str:
    """The page."""
    codes: dict[str, set[str]] = collections.defaultdict(set)
    for each in raised():
        if each.error:
            found = CLASSES[each.error]
            codes[each.name].add(f"{found.http_status or HTTP[found.code]} {found.code}")
    return "\n\n".join([*_of_requests(codes), *_of_tasks(), *_of_rows(), *_of_warnings(), *_of_services()]) + "\n"


def _of_requests(codes: Mapping[str, set[str]]) -> Iterator[str]:
    yield "# Reasons and errors"
    yield MADE
    yield (
        "Names are stable: programs go by them, people by the sentence beside them. An error of a request has its "
        "name in `ErrorInfo.reason` ([the form](calls.md#errors)), a task in `error_reason`, a row in the column "
        "`reason` of the rejects, a warning in `code`."
    )
    yield "## Requests"
    ordered = sorted(requests.REQUESTS, key=lambda each: (min(codes.get(each.name, {"409"})), each.name))
    cells = ((each, ", ".join(sorted(codes.get(each.name, {"in an answer"})))) for each in ordered)
    yield _table(("reason", "status", "meaning", "remedy"), ((_name(one), code, *_words(one)) for one, code in cells))
    yield "What an estimate or a retry finds wrong with its source is refused by the names of [tasks](#tasks)."
    yield "The gateway's own, before a service is asked:"
    replies = [(str(status), name, sentence) for status, (_, name, sentence) in render.REPLIES.items()]
    replies.append(("others", *render.OTHER_REPLY[1:]))
    yield _table(
        ("reason", "status", "message"),
        ((f"`{name}`", code, sentence.replace("%LOCAL_REPLY_BODY%", "…")) for code, name, sentence in replies),
    )


def _of_tasks() -> Iterator[str]:
    yield "## Tasks"
    yield (
        "The task is `failed`, most of these before a cent is spent; nothing of it goes on by itself. The status is "
        "the one by which an estimate, a retry or a request for rejects is refused for the same."
    )
    yield _table(
        ("error_reason", "status", "meaning", "remedy"),
        ((_name(each), _refusal(each.name), *_words(each)) for each in tasks.FAILED),
    )
    yield "The task is `blocked`: nothing is lost, nothing more is bought, and it goes on once the cause is mended."
    yield _table(
        ("error_reason", "goes on", "meaning", "remedy"),
        ((_name(each), "by itself" if each.passes else "by a retry", *_words(each)) for each in tasks.BLOCKED),
    )


def _refusal(name: str) -> str:
    return str(HTTP[refusals.KINDS.get(name, errors.InvalidArgument).code])


def _of_rows() -> Iterator[str]:
    yield "## Rows"
    yield "**Rejected**, alone, and given back with all their columns. A retry takes those that may pass as they are."
    yield _table(
        ("reason", "a retry takes it", "meaning", "remedy"),
        ((_name(each), "yes" if each.passes else "", *_words(each)) for each in rows.REJECTED),
    )
    yield "**Skipped**: neither indexed nor wrong."
    yield _table(("reason", "meaning", "remedy"), ((_name(each), *_words(each)) for each in rows.SKIPPED))


def _of_warnings() -> Iterator[str]:
    yield "## Warnings"
    yield "Of a task and of an estimate: what was taken for granted."
    yield _table(("code", "meaning", "remedy"), ((_name(each), *_words(each)) for each in warnings.WARNINGS))


def _of_services() -> Iterator[str]:
    yield "## Between the services"
    yield "In logs and traces; no caller meets them."
    yield _table(("reason", "meaning", "what follows"), ((_name(each), *_words(each)) for each in internal.INTERNAL))


def _name(each: reason.Reason) -> str:
    return f"`{each.name}`"


def _words(each: reason.Reason) -> tuple[str, str]:
    return each.meaning, each.remedy


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    laid = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in laid)

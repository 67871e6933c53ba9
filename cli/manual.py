"""The manual page, from the commands themselves: what --help says, as roff for man(1)."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Iterator
from typing import Any

_SECTIONS = """.SH FILES
.TP
.I .run/endpoints.env
Addresses and key of a line that make up started, here or in a folder above.
.TP
.I ~/.config/vectorline/profiles.json
Named lines; see vectorline profile.
.SH ENVIRONMENT
.TP
.B GATEWAY_URL, INGEST_ADDR, EMBEDDER_ADDR, INDEXER_ADDR, API_KEY
Where the line is, and the key.
.TP
.B VECTORLINE_PROFILE
The profile to use.
.TP
.B NO_COLOR
No colours, and nothing that moves.
.TP
.B VECTORLINE_DEBUG
Show where a fault of the command is.
.SH EXIT STATUS
0 all is well, 1 rows failed, or the task is failed, cancelled or blocked, 2 usage or a bad argument, 3 the line cannot
be reached, 4 a limit is reached, try again later, 130 Ctrl-C (the task goes on)."""


def page(root: Any, context: Any) -> str:
    """The page of a command group and of all below it.

    Args:
        root: The group, as click has it.
        context: The context that it was invoked with.
    """
    # By name and only here: the other commands need not wait for it.
    version = importlib.import_module("importlib.metadata").version("vectorline")
    day = datetime.date.today().isoformat()  # noqa: DTZ011 (as it is where it is read)
    lines = [
        f'.TH VECTORLINE 1 "{day}" "vectorline {_roff(version)}"',
        ".SH NAME",
        "vectorline \\- rows of a CSV become vectors",
        ".SH SYNOPSIS",
        ".B vectorline",
        "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]",
        ".SH DESCRIPTION",
        *_paragraphs(root.help or ""),
        ".SH OPTIONS",
        *_options(root, context),
        ".SH COMMANDS",
        *_commands(root, context, "vectorline"),
        _SECTIONS,
    ]
    return "\n".join(lines) + "\n"


def arguments(command: Any) -> list[str]:
    """The arguments of a command, as its usage names them."""
    return [each.metavar or each.name.upper() for each in command.params if each.param_type_name == "argument"]


def examples(command: Any) -> list[str]:
    """The calls that stand under a command's help, see `session.examples`."""
    lines = (line.strip() for line in (command.epilog or "").split("\n\n"))
    return [line for line in lines if line.startswith("vectorline ")]


def _commands(group: Any, context: Any, prefix: str) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        whole = f"{prefix} {name}"
        yield f".SS {_roff(whole)} {_roff(' '.join(arguments(command)))}".rstrip()
        yield from _paragraphs(command.help or "")
        if hasattr(command, "list_commands"):
            yield from _commands(command, context, whole)
            continue
        yield from _options(command, context)
        yield from _examples(examples(command))


def _options(command: Any, context: Any) -> Iterator[str]:
    for each in command.params:
        record = each.get_help_record(context) if each.param_type_name == "option" else None
        if record is not None:
            yield ".TP"
            yield f".B {_roff(record[0])}"
            yield _roff(" ".join(record[1].split()))


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.strip().split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(part.split()))


def _examples(calls: list[str]) -> Iterator[str]:
    if calls:
        yield ".PP"
        yield "Examples:"
        yield ".nf"
        yield from (_roff(call) for call in calls)
        yield ".fi"


def _roff(text: str) -> str:
    """Text that roff prints as it stands."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe

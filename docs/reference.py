"""Makes docs/reference from the code: ``python docs/reference.py``. A test holds what is committed to it.

`cli.md`: every command, as its ``--help`` says. `options.md`: the options of a load, as the protos say.
`configuration.md`: every variable that a process reads, with its default, as the settings say; those of the gateway and
of compose, as `.env.example` does, which a test holds to the code. `reasons.md`: see `docs/reasons.py`.
"""

import json
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402 (the repository is on the path only now)

from cli import main as command  # noqa: E402
from cli import manual  # noqa: E402
from cli.commands import config  # noqa: E402
from docs import reasons  # noqa: E402
from vectorline_client import messages  # noqa: E402

# Where variables that no settings class has stand in `.env.example`, and where they belong.
GROUPS = {"Secrets": "AWS", "Gateway (Envoy)": "gateway", "docker compose only": "docker compose"}
MADE = "Made from the code by `make reference-files`; do not edit."


def pages() -> dict[str, str]:
    """Each page's text by its name."""
    made = {"cli.md": cli(), "options.md": options(), "configuration.md": configuration()}
    return {**made, "reasons.md": reasons.page()}


def cli() -> str:
    """The command."""
    root: Any = typer.main.get_command(command.app)
    context = typer.Context(root)
    parts = ["# The command", MADE, _prose(root.help), "## Flags of every command", *_table(root, context)]
    parts += [_prose(root.epilog)]
    for words, each in _commands(root, ()):
        usage = " ".join(["vectorline", *words, *manual.arguments(each)])
        parts += [f"## {' '.join(words)}", f"```\n{usage}\n```", _prose(each.help), *_table(each, context)]
        calls = manual.examples(each)
        parts += ["```\n" + "\n".join(calls) + "\n```"] if calls else []
    return "\n\n".join(part for part in parts if part) + "\n"


def options() -> str:
    """The options of a load."""
    rows = [f"| `{name}` | {kind} | {_cell(words)} |" for name, kind, words in _options()]
    head = "| option | type | what it says |\n| --- | --- | --- |"
    return (
        "\n\n".join(
            [
                "# The options of a load",
                MADE,
                "Of `POST /api/v1/process` as JSON fields, of `/api/v1/upload/{filename}` as query parameters (a list: "
                "once for each value), of the Python client's `load` and `estimate` as keywords, of the command with "
                "hyphens.",
                "\n".join([head, *rows]),
            ]
        )
        + "\n"
    )


def configuration() -> str:
    """The environment variables."""
    groups: dict[str, list[str]] = {}
    told: set[str] = set()
    for group, section in config.sections():
        for name, field in section.model_fields.items():
            if name in told:  # in the group of a class that this one inherits from
                continue
            told.add(name)
            required = field.is_required()
            default = "required" if required else _default(field.get_default(call_default_factory=True))
            groups.setdefault(group, []).append(_row(name.upper(), default, field.description or ""))
    for heading, name, value, words in _example():
        if name.lower() not in told:  # the gateway's, compose's, and what boto3 reads by itself
            groups.setdefault(GROUPS.get(heading, heading), []).append(_row(name, _default(value), words))
    parts = [
        "# Configuration",
        MADE,
        "Environment variables; an empty one counts as unset, and a wrong one stops the process at its start with one "
        "line that names it. `.env.example` is the same list to copy; `vectorline config` shows what holds here. "
        "Secrets may be named by ARN (`arn:aws:secretsmanager:…[#field]`).",
    ]
    for group, rows in groups.items():
        parts += [f"## {group}", "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])]
    return "\n\n".join(parts) + "\n"


def _example() -> Iterator[tuple[str, str, str, str]]:
    """Of `.env.example`: heading, name, value and the comment above. The profile `local` is left out."""
    heading, words, fresh = "", [], False
    text = (ROOT / ".env.example").read_text(encoding="utf-8").partition("# --- Profile `local`")[0]
    for line in text.splitlines():
        if line.startswith("# --- "):
            heading, words = line.removeprefix("# --- ").split(":")[0], []
        elif variable := re.match(r"#?([A-Z][A-Z0-9_]*)=(.*)$", line):
            fresh = True
            yield heading, variable[1], variable[2], " ".join(words)
        elif line.startswith("# "):
            words = [line[2:]] if fresh else [*words, line[2:]]
            fresh = False
        else:
            words, fresh = [], False


def _row(name: str, default: str, words: str) -> str:
    return f"| `{name}` | {default} | {_cell(words)} |"


def _options() -> Iterator[tuple[str, str, str]]:
    found: dict[str, str] = {}
    name = ""
    for line in (messages.LoadOptions.__doc__ or "").partition("Attributes:")[2].splitlines():
        if begins := re.match(r" {8}(\w+): (.*)$", line):
            name, words = begins.groups()
            found[name] = words
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    for name, kind in messages.LoadOptions.__annotations__.items():
        written = str(getattr(kind, "__forward_arg__", kind)).replace("Sequence[str]", "list of str")
        yield name, written, found[name]


def _commands(group: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, (*above, name))
        elif not each.hidden:
            yield (*above, name), each


def _table(each: Any, context: Any) -> list[str]:
    rows = []
    for one in each.params:
        record = one.get_help_record(context) if one.param_type_name == "option" else None
        if record is not None and not one.hidden and "--help" not in one.opts:
            rows.append(f"| `{record[0].replace('|', '/')}` | {_cell(record[1])} |")
    return ["\n".join(["| option | |", "| --- | --- |", *rows])] if rows else []


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").strip().split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(value: object) -> str:
    get = getattr(value, "get_secret_value", None)
    shown = get() if get is not None else value
    if shown is None or shown in ("", ()):
        return ""
    if isinstance(shown, pathlib.Path):
        shown = shown.as_posix()
    if isinstance(shown, bool):
        text = str(shown).lower()
    elif isinstance(shown, tuple):
        text = ",".join(map(str, shown))
    elif isinstance(shown, dict):
        text = json.dumps(shown)
    else:
        text = f"{shown:g}" if isinstance(shown, float) else str(shown)
    return f"`{_cell(text)}`"


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

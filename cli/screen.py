"""Where the command writes: results on stdout, errors on stderr, as people, pipes and programs each need it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import typer
from rich import console, text

import vectorline_client
from cli import failures, fields

_PIPE_WIDTH: Final = 10_000  # columns: nothing that a program reads is ever wrapped or cut


@dataclasses.dataclass(frozen=True)
class Screen:
    """Stdout and stderr of one run.

    Attributes:
        out: Results and progress.
        err: Errors.
        json: Stdout carries JSON lines only.
        moving: A bar may move on stdout: it is a terminal and nobody set NO_COLOR.
        fields: Of each JSON line only these, by their paths; empty: all.
    """

    out: console.Console
    err: console.Console
    json: bool
    moving: bool
    fields: tuple[str, ...] = ()

    def say(self, line: str, style: str = "") -> None:
        """One line for people; nothing under --json."""
        if not self.json:
            self.out.print(text.Text(printable(line), style))

    def show(self, *what: console.RenderableType) -> None:
        """Something larger for people; nothing under --json."""
        if not self.json:
            with self.out.capture() as laid_out:
                for renderable in what:
                    self.out.print(renderable)
            self.out.file.writelines(f"{line.rstrip(' ')}\n" for line in laid_out.get().splitlines())

    def emit(self, answer: Any) -> None:
        """One JSON line as REST would print it, or the fields of it that were asked for; nothing without --json.

        Raises:
            typer.BadParameter: The answer has no such field.
        """
        if self.json:
            document = fields.chosen(answer, self.fields) if self.fields else vectorline_client.as_dict(answer)
            typer.echo(json.dumps(document, ensure_ascii=False))

    def as_lines(self) -> Screen:
        """The same screen, for what is printed as JSON lines in any case."""
        return dataclasses.replace(self, json=True, moving=False)

    def fail(self, failure: failures.CommandError) -> None:
        """The red line, the bad fields and the hint; under --json one line in the form of a REST error."""
        if self.json:
            typer.echo(json.dumps(failures.as_json(failure), ensure_ascii=False), err=True)
            return
        self.err.print(text.Text(f"✗ {printable(failure.message)}", "bold red"))
        for bad in failure.bad_fields:
            line = text.Text.assemble(("  ", ""), (printable(bad.field), "bold"), f": {printable(bad.description)}")
            self.err.print(line)
        if failure.hint:
            self.err.print(text.Text(f"  {printable(failure.hint)}", "dim"))


def open_screen(
    environ: Mapping[str, str] | None = None, *, as_json: bool = False, only: tuple[str, ...] = ()
) -> Screen:
    """The screen of this process."""
    environ = os.environ if environ is None else environ
    return Screen(
        out=_console(sys.stdout, environ),
        err=_console(sys.stderr, environ),
        json=as_json,
        moving=not as_json and _lively(sys.stdout, environ),
        fields=only,
    )


def printable(untrusted: str) -> str:
    """Text from a file or a server without control characters: none of it may steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in untrusted)


def _lively(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Colour and movement are welcome there (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _console(stream: TextIO, environ: Mapping[str, str]) -> console.Console:
    lively = _lively(stream, environ)
    return console.Console(
        file=stream,
        force_terminal=lively,
        color_system="auto" if lively else None,
        width=None if stream.isatty() else _PIPE_WIDTH,
        markup=False,  # what is printed comes from files and servers
        emoji=False,
        highlight=False,
    )

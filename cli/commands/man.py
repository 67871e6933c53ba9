"""``vectorline man``: the manual page."""

from __future__ import annotations

import typer

from cli import manual, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("man", epilog=session.examples("man > vectorline.1", "man | man -l -"))(man)


def man(context: typer.Context) -> None:
    """Print the manual page: all that --help says, as roff. Into a folder man1 of MANPATH it goes as vectorline.1."""
    root = context.find_root()
    typer.echo(manual.page(root.command, root), nl=False)

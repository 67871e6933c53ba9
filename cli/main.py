"""The ``vectorline`` command: its root flags, its commands, and the one place where failures end."""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from typing import Annotated, Any, Final

import typer
from typer import core

import vectorline_client
from cli import endpoints, failures, fields, screen, session

# In this order `--help` shows them. A new command is a file of `cli/commands` with a `register`, and a line here.
COMMANDS: Final = (
    "process",
    "estimate",
    "plan",
    "status",
    "tasks",
    "watch",
    "cancel",
    "retry",
    "rejects",
    "confirm",
    "verify",
    "adopt",
    "remove",
    "search",
    "queue",
    "workers",
    "limits",
    "pace",
    "bill",
    "statistics",
    "overview",
    "anomalies",
    "metrics",
    "health",
    "top",
    "doctor",
    "open",
    "profile",
    "namespace",
    "cleanup",
    "call",
    "config",
    "init",
    "migrate",
    "man",
)

DEBUG_VARIABLE: Final = "VECTORLINE_DEBUG"

_ROOT_SWITCHES: Final = frozenset({"--json", "--tls"})
_ROOT_OPTIONS: Final = frozenset(
    {"--gateway", "--ingest-addr", "--embedder-addr", "--indexer-addr", "--api-key", "--profile", "--fields"}
)

_EXIT_CODES: Final = (
    "Exit codes: 0 all is well · 1 rows failed, or the task is failed, cancelled or blocked · 2 usage or a bad "
    "argument · 3 the line cannot be reached · 4 a limit is reached, try again later · 130 Ctrl-C (the task goes on)."
)


class Root(core.TyperGroup):
    """Understands the root flags anywhere on the command line, and ends every failure in words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Bring the root flags to the front, up to a ``--``."""
        return super().parse_args(ctx, _root_flags_first(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command. A failure is told in words, never by a traceback."""
        try:
            return super().invoke(ctx)
        except failures.CommandError as failure:
            _screen(ctx).fail(failure)
            raise typer.Exit(failure.exit_code) from failure
        except vectorline_client.VectorlineError as error:
            told = failures.of_client(error)
            _screen(ctx).fail(told)
            raise typer.Exit(told.exit_code) from error
        except KeyboardInterrupt as stop:
            raise typer.Exit(failures.ExitCode.INTERRUPTED) from stop
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            fault = failures.CommandError(
                f"Unexpected {type(error).__name__}: {error}",
                exit_code=failures.ExitCode.FAILED,
                hint=f"This is a fault of the command itself. {DEBUG_VARIABLE}=1 shows where.",
            )
            _screen(ctx).fail(fault)
            raise typer.Exit(fault.exit_code) from error


app = typer.Typer(
    name="vectorline",
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_CODES,
)
for command in COMMANDS:
    importlib.import_module(f"cli.commands.{command}").register(app)


@app.callback()
def root(
    context: typer.Context,
    *,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="The gateway. Or GATEWAY_URL.")] = None,
    ingest_addr: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The ingest service. Or INGEST_ADDR.")
    ] = None,
    embedder_addr: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The embedder service. Or EMBEDDER_ADDR.")
    ] = None,
    indexer_addr: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The indexer service. Or INDEXER_ADDR.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(metavar="KEY", help="The API key. Or API_KEY.")] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="A line by its name (vectorline profile). Or VECTORLINE_PROFILE.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS to the line.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines, as REST would.")] = False,
    only: Annotated[
        str,
        typer.Option("--fields", metavar="A,B", help="JSON lines with these fields only, e.g. task_id,status."),
    ] = "",
) -> None:
    """Rows of a CSV become vectors: load files, watch them, search them.

    Where neither a flag nor the environment names an address, addresses and key are those of the profile in use, or of
    .run/endpoints.env, here or in a folder above.
    """
    flags = {
        "GATEWAY_URL": gateway,
        "INGEST_ADDR": ingest_addr,
        "EMBEDDER_ADDR": embedder_addr,
        "INDEXER_ADDR": indexer_addr,
        "API_KEY": api_key,
    }
    chosen = fields.parsed(only)
    # Before the line is looked for, so that what is wrong with that is told in the form that is wanted.
    seen = context.obj = screen.open_screen(as_json=json or bool(chosen), only=chosen)
    where = endpoints.resolve(flags, os.environ, pathlib.Path.cwd(), tls=tls, profile=profile)
    context.obj = session.Session(screen=seen, endpoints=where)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign of ours shows a question mark
    app()


def _root_flags_first(args: list[str]) -> list[str]:
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(args)
    for argument in waiting:
        if argument == "--":
            return [*first, *rest, argument, *waiting]
        name, has_value, _ = argument.partition("=")
        if argument in _ROOT_SWITCHES or (has_value and name in _ROOT_OPTIONS):
            first.append(argument)
        elif argument in _ROOT_OPTIONS:
            first += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(argument)
    return [*first, *rest]


def _screen(context: Any) -> screen.Screen:
    """The session's screen; before there is a session, one for people."""
    if isinstance(context.obj, session.Session):
        return context.obj.screen
    return context.obj if isinstance(context.obj, screen.Screen) else screen.open_screen()

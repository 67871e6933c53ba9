"""``vectorline config``: what the line would read from the environment; and entries of API_KEYS."""

from __future__ import annotations

import itertools
import json
from typing import Annotated, Any, Final

import typer
from rich import table

from cli import failures, screen, session

SCOPES: Final = ("ingest", "read")
# Every settings class of the line, by its import path, so that nothing is imported before somebody asks: group, class.
# What a class inherits from one before it is shown there.
SECTIONS: Final = (
    ("access", "services.runtime.settings:AccessSettings"),
    ("mTLS", "services.runtime.settings:TlsSettings"),
    ("process", "services.runtime.settings:ProcessSettings"),
    ("AWS", "services.runtime.aws:AwsSettings"),
    ("Valkey", "services.valkey.settings:ValkeySettings"),
    ("embedder: OpenAI", "services.embedder.settings:EmbeddingSettings"),
    ("ingest: sources", "services.ingest.settings:SourceSettings"),
    ("ingest: Metabase", "services.ingest.settings:MetabaseSettings"),
    ("ingest: requests", "services.ingest.settings:RequestSettings"),
    ("prices", "services.billing.prices:PriceSettings"),
    ("ingest: estimates", "services.ingest.settings:EstimateSettings"),
    ("ingest: splitting", "services.ingest.settings:SplitSettings"),
    ("embedder: work", "services.embedder.settings:WorkSettings"),
    ("indexer: AWS", "services.runtime.aws:CallerSettings"),
    ("indexer: ledger", "services.indexer.settings:LedgerSettings"),
    ("indexer: rejects", "services.indexer.settings:RejectSettings"),
    ("indexer: Pinecone", "services.indexer.settings:PineconeSettings"),
)

KeyId = Annotated[str, typer.Option("--id", metavar="NAME", help="Its owner's name; two keys may have the same.")]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="read, ingest or admin; may be repeated. Default: ingest and read.")
]


def register(app: typer.Typer) -> None:
    """Add the command and what belongs to it."""
    config = typer.Typer(
        invoke_without_command=True, help="Show the effective configuration, secrets masked. Exits 1 if any is wrong."
    )
    config.callback()(show)
    config.command("new-key")(new_key)
    config.command("hash-key")(hash_key)
    app.add_typer(config, name="config")


def show(context: typer.Context) -> None:
    """Show the effective configuration, secrets masked. Exits 1 if any is wrong.

    It is what the services would read if they were started in this shell.
    """
    if context.invoked_subcommand is not None:
        return
    here = session.of(context)
    settings = session.service("services.runtime.configuration", "config").effective(sections())
    if here.screen.json:
        for setting in settings:
            typer.echo(json.dumps(_document(setting), ensure_ascii=False))
    else:
        here.screen.show(*(_table(name, list(each)) for name, each in itertools.groupby(settings, _group)))
    wrong = any(setting.problem for setting in settings)
    raise typer.Exit(failures.ExitCode.FAILED if wrong else failures.ExitCode.OK)


def sections() -> list[tuple[str, Any]]:
    """Every group with its settings class."""
    found = []
    for group, path in SECTIONS:
        module, _, name = path.partition(":")
        found.append((group, getattr(session.service(module, "config"), name)))
    return found


def new_key(key_id: KeyId = "caller", scope: Scopes = None) -> None:
    """Make an API key: its secret, shown only now, and its entry for API_KEYS. Needs API_KEY_PEPPER."""
    _make("new", key_id, scope)


def hash_key(key_id: KeyId = "caller", scope: Scopes = None) -> None:
    """Make the entry for API_KEYS of a secret of yours, read from standard input. Needs API_KEY_PEPPER."""
    _make("hash", key_id, scope)


def _make(what: str, key_id: str, scopes: list[str] | None) -> None:
    asked = [argument for scope in scopes or SCOPES for argument in ("--scope", scope)]
    raise typer.Exit(session.service("services.runtime.keys", "config").main([what, "--id", key_id, *asked]))


def _group(setting: Any) -> str:
    return str(setting.group)


def _document(setting: Any) -> dict[str, Any]:
    document = {name: getattr(setting, name) for name in ("group", "name", "value", "origin", "description")}
    return {**document, "problem": setting.problem} if setting.problem else document


def _table(name: str, settings: list[Any]) -> table.Table:
    laid = table.Table(title=screen.printable(name), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("variable", "value", "from", "what it does"):
        laid.add_column(heading, overflow="fold")
    for setting in settings:
        words = f"WRONG: {setting.problem}. {setting.description}" if setting.problem else setting.description
        cells = (setting.name, setting.value or "", str(setting.origin), words)
        laid.add_row(*(screen.printable(cell) for cell in cells), style="red" if setting.problem else "")
    return laid

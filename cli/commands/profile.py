"""``vectorline profile``: lines by name, with their addresses and keys."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cli import failures, profiles, screen, session, tables
from vectorline_client import connection

app_ = typer.Typer(no_args_is_help=True, help="Lines by name: addresses in a file of yours, keys in the keyring.")


def names(incomplete: str) -> list[str]:
    """Profiles whose names begin so."""
    try:
        return [name for name in profiles.all_of(os.environ) if name.startswith(incomplete)]
    except failures.CommandError:
        return []


Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a profile.", autocompletion=names)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app_.command("add", epilog=session.examples("profile add prod https://vectorline.example", _PIPED))(add)
    app_.command("list", epilog=session.examples("profile list"))(show)
    app_.command("use", epilog=session.examples("profile use prod", "profile use --none"))(use)
    app_.command("remove", epilog=session.examples("profile remove prod"))(remove)
    app.add_typer(app_, name="profile", epilog=session.examples("profile add prod https://vectorline.example"))


_PIPED = "profile add dev http://localhost:8000 --no-key"


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    gateway: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The gateway. Or the services by the root's flags.")
    ] = None,
    *,
    no_key: Annotated[bool, typer.Option("--no-key", help="It needs none.")] = False,
    no_keyring: Annotated[bool, typer.Option("--no-keyring", help="Keep the key in the file.")] = False,
) -> None:
    """Keep a line under a name; the first is used from then on.

    The key is asked for, or read from standard input, or given by --api-key (where others may see it). It is kept in
    the keyring where there is one (pip install keyring), else in the file, which only you can read.
    """
    here = session.of(context)
    flags = context.find_root().params
    services = {
        service: str(flags[f"{service}_addr"]) for service in connection.SERVICES if flags.get(f"{service}_addr")
    }
    gateway = gateway or flags.get("gateway") or ""
    if not gateway and not services:
        raise typer.BadParameter("say where it is: the URL of its gateway, or --ingest-addr and its siblings.")
    made = profiles.Profile(gateway=gateway, services=services, tls=bool(flags.get("tls")))
    key = "" if no_key else _key(flags.get("api_key"))
    kept = profiles.add(name, made, key, os.environ, use_keyring=not no_keyring)
    kept_in = {"keyring": "its key is in the keyring", "file": f"its key is in {profiles.path(os.environ)}"}
    here.screen.say(f"Profile {name}: {kept.where}; {kept_in.get(kept.key_kept, 'it has no key')}.")


def show(context: typer.Context) -> None:
    """List the profiles, with where their keys are. The keys themselves are never printed."""
    here = session.of(context)
    used, known = profiles.in_use(os.environ), profiles.all_of(os.environ)
    for name, each in sorted(known.items()):
        line = {"name": name, "address": each.where, "key": each.key_kept, "used": name == used}
        here.screen.emit(line)
    if not known:
        here.screen.say("No profiles.")
        return
    listing = tables.listing()
    for column in ("", "name", "address", "key"):
        listing.add_column(column, no_wrap=True)
    for name, each in sorted(known.items()):
        listing.add_row("→" if name == used else "", name, screen.printable(each.where), each.key_kept or "none")
    here.screen.show(listing)


def use(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of a profile.", autocompletion=names)] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Use none: go by the environment again.")] = False,
) -> None:
    """Use a profile where neither flags nor the environment say where the line is."""
    if (name is None) != none:
        raise typer.BadParameter("name a profile, or --none.")
    profiles.use(name, os.environ)
    session.of(context).screen.say(f"Profile {name} is used." if name else "No profile is used.")


def remove(context: typer.Context, name: Name) -> None:
    """Forget a profile and its key."""
    profiles.remove(name, os.environ)
    session.of(context).screen.say(f"Profile {name} is gone.")


def _key(given: str | None) -> str:
    if given:
        return given
    if sys.stdin.isatty():
        return str(typer.prompt("API key", hide_input=True, err=True))
    key = sys.stdin.readline().strip()
    if not key:
        raise typer.BadParameter("there is no key on standard input; --no-key says that it needs none.")
    return key

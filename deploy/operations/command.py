"""The commands of `deploy/bin`: one line each there, their arguments and the end of their failures here."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

import httpx
from botocore import exceptions

from deploy.operations import account as accounts
from deploy.operations import bootstrapping, health, releases, rolling, smoke, stacks
from deploy.operations import line as lines

REFUSED: Final = 2  # not begun
FAILED: Final = 1  # begun, and taken back; or not healthy


def say(text: str) -> None:
    """A line for who watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments(name: str, about: str, *, changes: bool = True) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parameters", type=pathlib.Path, default=pathlib.Path("parameters.json"), metavar="FILE",
        help="the line, as one of deploy/parameters describes it (default: parameters.json)",
    )  # fmt: skip
    parser.add_argument("--url", default="", help="where the line answers; default: the address of the stack edge")
    if changes:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done and called; change nothing")
    return parser


def deploy(arguments: Sequence[str]) -> int:
    """Bring a release out; taken back by itself where it does not hold."""
    parser = _arguments("deploy", deploy.__doc__ or "")
    parser.add_argument("tag", help="of the images in the line's repositories")
    parser.add_argument(
        "--despite-doctor", action="store_true", help="say what the doctor finds broken, and go on all the same"
    )
    asked = parser.parse_args(arguments)
    return _ended(lambda: _roll(asked).deploy(asked.tag, dry_run=asked.dry_run, despite_doctor=asked.despite_doctor))


def rollback(arguments: Sequence[str]) -> int:
    """Bring back the release before the present one, or one of the last five."""
    parser = _arguments("rollback", rollback.__doc__ or "")
    parser.add_argument("tag", nargs="?", default="", help="default: the one before")
    asked = parser.parse_args(arguments)
    return _ended(lambda: _roll(asked).rollback(asked.tag, dry_run=asked.dry_run))


def health_check(arguments: Sequence[str]) -> int:
    """Say healthy, degraded or unhealthy, and why; 0 is healthy, 1 is not."""
    asked = _arguments("health_check", health_check.__doc__ or "", changes=False).parse_args(arguments)
    healthy = False

    def look() -> None:
        nonlocal healthy
        # Whoever names the address needs no account of AWS.
        with httpx.Client(base_url=asked.url) if asked.url else _roll(asked).caller(key=False) as caller:
            healthy, told = health.look(caller)
        say(told)

    return _ended(look) or (0 if healthy else FAILED)


def smoke_test(arguments: Sequence[str]) -> int:
    """Load a few rows through the load balancer, and look for each of them by its own text."""
    parser = _arguments("smoke", smoke_test.__doc__ or "", changes=False)
    parser.add_argument("--rows", type=int, default=smoke.ROWS, help=f"default: {smoke.ROWS}")
    asked = parser.parse_args(arguments)
    return _ended(lambda: say(_roll(asked, rows=asked.rows).smoke()))


def bootstrap(arguments: Sequence[str]) -> int:
    """From an empty account to the first row. Says what will be there and names its budget, and asks.

    May be repeated: what is there already is brought up to its template.
    """
    parser = _arguments("bootstrap", bootstrap.__doc__ or "")
    parser.add_argument("tag", help="of the first release")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    asked = parser.parse_args(arguments)

    def go() -> None:
        roll = _roll(asked)
        steps = bootstrapping.Bootstrap(roll, accounts.Account(), say)
        dollars = roll.line.parameters.get("MonthlyDollars", "?")
        steps.announce(f"AWS's part of it is watched by a budget of {dollars} dollars a month (the stack guard).")
        if asked.dry_run or asked.yes or _agreed():
            steps.go(asked.tag, dry_run=asked.dry_run)

    return _ended(go)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise rolling.Refused("Nobody is there to be asked: --yes goes without.")
    return input("Go? [y/N] ").strip().lower() in ("y", "yes")


def _roll(asked: argparse.Namespace, rows: int = smoke.ROWS) -> rolling.Roll:
    return rolling.Roll(lines.load(asked.parameters), accounts.Account(), say, url=asked.url, rows=rows)


def _ended(operation: Callable[[], object]) -> int:
    """The exit code: 0, REFUSED or FAILED, with the reason on stderr and never a traceback."""
    try:
        operation()
    except (rolling.Refused, lines.Unusable, accounts.NoAccess, releases.Missing) as refusal:
        sys.stderr.write(f"Not begun.\n{refusal}\n")
        return REFUSED
    except (rolling.TakenBack, stacks.Failed, smoke.Failed) as failure:
        sys.stderr.write(f"Failed.\n{failure}\n")
        return FAILED
    except (exceptions.ClientError, exceptions.BotoCoreError) as error:
        sys.stderr.write(f"Failed: AWS says: {error}\nIt may be repeated: what is done is left alone.\n")
        return FAILED
    return 0

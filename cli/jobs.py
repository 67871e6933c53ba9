"""Tasks that are no loads: their price first, then whether it is agreed to; and what they came to."""

from __future__ import annotations

import sys

import typer

from cli import bills, failures, screen, session
from vectorline_client import messages


def agreed(
    here: session.Session, price: messages.JobForecast, *, dry_run: bool, yes: bool, removes: bool = False
) -> bool:
    """Say what it costs, and ask; False: it is not to be done.

    Raises:
        failures.CommandError: Nobody can be asked.
        typer.Abort: Somebody said no.
    """
    if dry_run:
        here.screen.emit(price)
    bought = f", {price.sampled:,} vectors bought again" if price.sampled else ""
    if removes:
        most = "at most " if price.ids else ""
        here.screen.say(f"{most}{price.removed or 0:,} vectors to delete.")
        here.screen.say(f"  {_way(price)}")
    else:
        here.screen.say(f"{price.ids:,} ids to list, {price.fetched:,} records to fetch{bought}.")
    cost = price.bill or messages.Bill()
    here.screen.say(f"  {bills.words(cost)}")
    if dry_run or yes:
        return not dry_run
    if not sys.stdin.isatty():
        raise failures.CommandError(
            "Nobody is here to confirm it.",
            exit_code=failures.ExitCode.USAGE,
            hint="--yes does it, --dry-run only says what it costs.",
        )
    typer.confirm("Delete them?" if removes else "Do it?", abort=True, err=True)
    return True


def _way(price: messages.JobForecast) -> str:
    """How a removal deletes."""
    if price.drops_namespace:
        return "Nothing else is in the namespace: it is dropped whole."
    if price.why_not_dropped:
        return f"By their ids; the namespace is not dropped: {price.why_not_dropped}."
    return "By their ids."


def words(result: messages.TaskResult | None) -> str:
    """What a verify, an adoption or a removal came to; empty: it was none."""
    if result is None:
        return ""
    if result.namespace_dropped is not None:
        why = screen.printable(result.why_not_dropped or "")
        return "the namespace was dropped whole" if result.namespace_dropped else f"deleted by their ids: {why}"
    if result.listed is None:
        return ""
    if result.missing is None:
        known, unknown, sampled = result.known or 0, result.unknown or 0, result.sampled or 0
        return f"{result.listed:,} ids, {known:,} known now, {unknown:,} bought with the next load ({sampled:,} proved)"
    looked = f"{result.fetched or 0:,} fetched, {result.sampled or 0:,} bought again"
    repair = f"; task {result.repair_task_id} repairs" if result.repair_task_id else ""
    return (
        f"{result.listed or 0:,} ids, {result.missing:,} missing, {result.strange or 0:,} strange, "
        f"{result.differing or 0:,} differing ({looked}){repair}"
    )

"""``vectorline limits``: how much of the embedding quota may be used now, and why not all of it."""

from __future__ import annotations

import typer

from cli import failures, session
from vectorline_client import messages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("limits", epilog=session.examples("limits", "limits --json"))(limits)


def limits(context: typer.Context) -> None:
    """Show the limiter of requests and tokens. Exits 1 if the account refuses."""
    here = session.of(context)
    with here.line() as line:
        answer = line.limits()
    here.screen.emit(answer)
    for sentence in sentences(answer):
        here.screen.say(sentence)
    if answer.blocked:
        raise typer.Exit(failures.ExitCode.FAILED)


def sentences(answer: messages.LimiterView) -> list[str]:
    """What it says, a line each."""
    said = [
        f"Model {answer.model}",
        f"Requests: {_of(answer.requests_per_second, answer.configured_requests_per_second, 'a second')}",
        f"Tokens: {_of(answer.tokens_per_minute, answer.configured_tokens_per_minute, 'a minute')}",
    ]
    if answer.factor < 1:
        said.append(f"Lowered to {answer.factor:.0%} after a 429; it climbs back by itself.")
    if answer.pause_seconds:
        said.append(f"A 429 stops everybody for {answer.pause_seconds:.1f} s more.")
    if answer.blocked:
        said.append(f"The account refuses: {answer.blocked_reason or 'it did not say why'}. Nothing is bought.")
    return said


def _of(now: float, configured: float, unit: str) -> str:
    if not now:
        return "no limit"
    return f"{now:,.6g} {unit}" + (f", {configured:,.6g} configured" if configured and configured != now else "")

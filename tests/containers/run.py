"""Commands, run to their end: what they printed, or an error with all that they said."""

import os
import subprocess
from collections.abc import Mapping

SECONDS = 300.0


class Failed(Exception):
    """A command's exit code was not 0; the message holds what it said."""


def output(
    *command: str,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    seconds: float = SECONDS,
    cwd: str | None = None,
) -> str:
    """What a command prints on its standard output.

    Raises:
        Failed: It is not there, does not end in time, or ends with another exit code than 0.
    """
    shown = " ".join(command)[:300]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            input=stdin,
            capture_output=True,
            timeout=seconds,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")[-2000:]
        raise Failed(f"{shown}: not over within {seconds:.0f} s\n{said}") from None
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Failed(
            f"{shown}: exit code {done.returncode}\n{said[-2000:]}\n{done.stderr.decode(errors='replace')[-4000:]}"
        )
    return said


def works(*command: str, environment: Mapping[str, str] | None = None, seconds: float = 30.0) -> bool:
    """Whether a command ends well."""
    try:
        output(*command, environment=environment, seconds=seconds)
    except Failed:
        return False
    return True

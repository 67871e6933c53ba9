"""What should run, as data: `up` writes it, the supervisor reads it, and two of them can be compared."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Differ from shell to shell and mean nothing to the line: a change of these alone restarts nothing.
INCIDENTAL = frozenset(
    {"_", "COLUMNS", "COLORTERM", "DISPLAY", "LINES", "LS_COLORS", "OLDPWD", "PATH", "PS1", "PWD", "SHELL", "SHLVL"}
    | {"TERM", "TERM_PROGRAM", "TMUX", "TMUX_PANE", "TTY", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "WINDOWID"}
)
INCIDENTAL_PREFIXES = ("SSH_", "XDG_", "VSCODE_", "DBUS_", "PYTEST_")


@dataclasses.dataclass(frozen=True)
class Probe:
    """How to see that a process does its work.

    ``kind`` is http (``target`` a URL that answers 200), grpc (``target`` host:port, ``service`` SERVING by
    grpc.health.v1), valkey (``target`` host:port that answers PING) or none.
    """

    kind: str = "none"
    target: str = ""
    service: str = ""


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of the line.

    Those of one ``stage`` start together, once all of the stages before are ready. Stopping goes through the ``role``s
    backwards. ``once``: it runs to its end, and a new attempt follows a failed one. ``reads``: the content of files
    that it reads at its start, so that a change of them counts as a change of the process.
    """

    name: str
    role: str
    stage: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)  # on top of the plan's
    probe: Probe = Probe()
    once: bool = False
    reads: str = ""
    ready_seconds: float = 60.0
    stop_seconds: float = 30.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """All processes in the order in which they start, and the environment that they share."""

    processes: tuple[Process, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    folder: str = ""  # where they run

    def environment_of(self, process: Process) -> dict[str, str]:
        """The whole environment of a process."""
        return {**self.environment, **process.environment}

    def fingerprint_of(self, process: Process) -> str:
        """Equal for two plans if the process need not be restarted between them."""
        environment = {
            name: value
            for name, value in self.environment_of(process).items()
            if name not in INCIDENTAL and not name.startswith(INCIDENTAL_PREFIXES)
        }
        told = [process.command, sorted(environment.items()), process.reads, self.folder]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def fingerprints(self) -> dict[str, str]:
        """By process name."""
        return {process.name: self.fingerprint_of(process) for process in self.processes}

    def dump(self) -> str:
        """As JSON. It holds the environment, and so secrets: keep the file private."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def load(text: str) -> Plan:
    """Read what `Plan.dump` wrote."""
    told: dict[str, Any] = json.loads(text)
    processes = tuple(
        Process(**{**each, "command": tuple(each["command"]), "probe": Probe(**each["probe"])})
        for each in told.pop("processes")
    )
    return Plan(processes=processes, **told)

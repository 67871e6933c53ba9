"""Failpoints: named places where a test lets a process die, hang, stall or fail. Free unless FAILPOINT is set.

A process of a production does not start with it.

FAILPOINT holds rules, several by comma: ``indexer.after_settle:kill``. A rule is ``name:action`` and then, in any
order, ``@N`` (from the N-th hit in a process on), ``*N`` (at most N times in all; default 1, 0: without end) and, last,
``~TEXT`` (only where the place's text contains it; then without end unless ``*N`` says so). Actions: ``kill`` (SIGKILL
to itself), ``stop`` (SIGSTOP to itself), ``error`` (raises FailpointError), ``sleep=SECONDS`` (the process stalls).

A process that is started again after a kill must not die of the same rule: firings are counted over all processes by
marker files in FAILPOINT_DIR (in this process alone where that is not set). ``FAILPOINT=@PATH`` reads the rules from a
file at each hit, so that a test arms a running line.
"""

import dataclasses
import os
import pathlib
import re
import signal
import time
from collections import Counter
from collections.abc import Callable

_RULE = re.compile(r"([\w.]+):(kill|stop|error|sleep=([\d.]+))((?:@\d+|\*\d+)*)(?:~(.+))?")


class FailpointError(Exception):
    """What ``error`` raises."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule, as described above; `times` 0: without end."""

    name: str
    action: str
    seconds: float
    first_hit: int
    times: int
    text: str


def parse(spec: str) -> dict[str, Rule]:
    """Rules by name.

    Raises:
        ValueError: A rule cannot be read.
    """
    rules = {}
    for part in filter(None, (each.strip() for each in spec.split(","))):
        found = _RULE.fullmatch(part)
        if not found:
            raise ValueError(f"FAILPOINT: {part!r} is no rule")
        name, action, seconds, counts, text = found.groups()
        first = re.search(r"@(\d+)", counts)
        times = re.search(r"\*(\d+)", counts)
        rules[name] = Rule(
            name=name,
            action=action.partition("=")[0],
            seconds=float(seconds or 0),
            first_hit=int(first[1]) if first else 1,
            times=int(times[1]) if times else 0 if text else 1,
            text=text or "",
        )
    return rules


_spec = os.environ.get("FAILPOINT", "")
_folder = os.environ.get("FAILPOINT_DIR", "")
_file = pathlib.Path(_spec[1:]) if _spec.startswith("@") else None
_rules: dict[str, Rule] = {} if _file else parse(_spec)
_active = bool(_rules or _file)
_hits: Counter[Rule] = Counter()
_fired: Counter[Rule] = Counter()


def active() -> bool:
    """Whether any place may let this process fail, now or when a file of rules says so."""
    return _active


def hit(name: str, text: Callable[[], str] | None = None) -> None:
    """A process passes the place of that name. `text` tells what it has in hand, for rules with ``~``.

    Raises:
        FailpointError: A test wants it.
    """
    if not _active:
        return
    rule = _armed().get(name)
    if rule is None or (rule.text and (text is None or rule.text not in text())):
        return
    _hits[rule] += 1
    if _hits[rule] >= rule.first_hit and _may_fire(rule):
        _fire(rule)


def _armed() -> dict[str, Rule]:
    if _file is None:
        return _rules
    try:
        return parse(_file.read_text())
    except FileNotFoundError:
        return {}


def _may_fire(rule: Rule) -> bool:
    _fired[rule] += 1
    if not _folder:
        return not rule.times or _fired[rule] <= rule.times
    number = 1
    while not rule.times or number <= rule.times:
        try:
            with (pathlib.Path(_folder) / f"{rule.name}.{number}").open("x") as marker:
                marker.write(f"{os.getpid()} {time.time()}\n")
        except FileExistsError:
            number += 1
        else:
            return True
    return False


def _fire(rule: Rule) -> None:
    if rule.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif rule.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif rule.action == "sleep":
        time.sleep(rule.seconds)
    else:
        raise FailpointError(f"The failpoint {rule.name} was hit.")

"""An operation as a list of steps, so that a dry run can tell what each would do and which calls it would make."""

import dataclasses
from collections.abc import Callable, Sequence

Say = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        what: What it does, for people.
        calls: What it calls that changes something: `service:Operation what-it-is-called-for`.
        do: Does it.
        done: Says why there is nothing to do; empty: there is.
    """

    what: str
    do: Callable[[], object]
    calls: tuple[str, ...] = ()
    done: Callable[[], str] = lambda: ""


def run(todo: Sequence[Step], say: Say, *, dry_run: bool) -> None:
    """Do them in order, or say what would be done. What is done already is left out, so that all may be repeated."""
    for step in todo:
        if why := step.done():
            say(f"{step.what}: {why}")
        elif dry_run:
            say(f"would: {step.what}")
            for call in step.calls:
                say(f"    {call}")
        else:
            say(f"{step.what} ...")
            step.do()

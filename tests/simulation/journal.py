"""What is logged during a seed."""

import sys
import traceback
from typing import Any

import structlog

from tests.simulation import loop as loops

# Errors that are no defects.
EXPECTED = {"chunk_poison"}


class Journal:
    """structlog's logger during a seed: errors are defects; all of it is shown when a seed is looked at."""

    shown = False
    # Whose seed it is: has `loop`, and `broken`, where what is a defect goes.
    world: Any = None

    def __init__(self, logger: Any, processors: Any, context: Any) -> None:
        """As structlog makes it."""

    def bind(self, **_: Any) -> "Journal":
        return self

    new = bind

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        world = Journal.world
        if world is None or not (self.shown or level == "error"):
            return
        process = loops.CURRENT.get(world.loop.fate)
        if self.shown:
            said = " ".join(f"{name}={value}" for name, value in fields.items() if name != "exc_info")
            bound = structlog.contextvars.get_contextvars()
            print(f"{world.loop.now - loops.START:9.3f} {process.name:12} {event} {said} {bound or ''}")  # noqa: T201
            if level == "error":
                traceback.print_exc(limit=-4, file=sys.stdout)
        if level == "error" and process.alive and fields.get("action") not in EXPECTED:
            error = sys.exc_info()[1] or ""
            world.broken.append(f"{process.name} logged: {event} {fields} {error!r}")

    def debug(self, event: str, **fields: Any) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._say("error", event, fields)

    exception = error

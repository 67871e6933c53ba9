"""ministack as the line runs it: ``python -m sandbox.line.aws``, configured by ministack's own variables.

ministack writes its state when it stops. DynamoDB forgets nothing, so here it is written about once a second as well:
a stand-in that is killed loses a second, not the ledger.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import ministack.app as ministack  # type: ignore[import-untyped]
from ministack.core import persistence  # type: ignore[import-untyped]

PAUSE_SECONDS = 1.0
SHARE = 0.05  # of the time that writing may take
SERVICES = ("dynamodb", "s3", "secretsmanager", "cloudformation")

_writing = threading.Lock()


def _write_again_and_again() -> None:
    while True:
        began = time.monotonic()
        with _writing:
            persistence.save_all({name: get for name, get in _states().items() if name in SERVICES})
        time.sleep(max(PAUSE_SECONDS, (time.monotonic() - began) / SHARE))


def _states() -> dict[str, Callable[[], Any]]:
    states: dict[str, Callable[[], Any]] = ministack._build_persistence_save_dict()  # noqa: SLF001 - it has no other
    return states


def _write_at_the_end(states: dict[str, Callable[[], Any]]) -> None:
    _writing.acquire()  # for good: nothing is written after the last time
    persistence.save_all(states)


def main() -> None:
    """Run the server until SIGTERM."""
    ministack.save_all = _write_at_the_end
    threading.Thread(target=_write_again_and_again, daemon=True).start()
    ministack.main()


if __name__ == "__main__":
    main()

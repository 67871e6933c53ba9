"""``python -m services.doctor``: looks at every dependency from here. Exit code 1: something is broken; else 0."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

import structlog

from services.doctor import checks, examination, report, told


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, and print what was found."""
    parser = argparse.ArgumentParser(prog="vectorline doctor", description=__doc__)
    parser.add_argument("--only", action="append", choices=checks.NAMES, default=[], help="may be repeated")
    parser.add_argument(
        "--for", dest="service", choices=checks.SERVICES, help="only what this service needs, as in its container"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    chosen = parser.parse_args(arguments)
    services = (chosen.service,) if chosen.service else checks.SERVICES
    # What the clients would log is said by the findings.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.basicConfig(level=logging.CRITICAL, force=True)
    found = asyncio.run(examination.examine(told.Told(), chosen.only, services))
    shown = report.documents(found) if chosen.json else report.lines(found, coloured=sys.stdout.isatty())
    for line in shown:
        sys.stdout.write(f"{line}\n")
    return 1 if report.broken(found) else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs the checks side by side: one that hangs or breaks is a finding and stops no other."""

import asyncio
import contextlib
from collections.abc import Sequence

from services.doctor import checks, finding, told
from services.runtime import settings

# Longer than any client that a check uses waits by itself.
CHECK_SECONDS = 60.0


async def examine(
    knows: told.Told, only: Sequence[str] = (), services: Sequence[str] = checks.SERVICES
) -> list[finding.Finding]:
    """Everything that was found, in the order of the checks; no secret is in it.

    Args:
        knows: The settings.
        only: Names of checks; none: all.
        services: Whose dependencies are looked at.
    """
    chosen = checks.chosen(only, services)
    for name in chosen:
        # Client libraries take their time to import, in which nothing else runs here: not while a check waits for an
        # answer. What fails does so again in its check, and is a finding.
        with contextlib.suppress(Exception):
            checks.load(name)
    found = await asyncio.gather(*(_one(name, knows, services) for name in chosen))
    return [
        finding.Finding(each.check, each.part, each.level, knows.masked(each.message), knows.masked(each.remedy))
        for several in found
        for each in several
    ]


async def _one(name: str, knows: told.Told, services: Sequence[str]) -> list[finding.Finding]:
    about = finding.About(name)
    found: list[finding.Finding] = []
    try:
        check = checks.load(name)
        for section in check.SECTIONS:
            knows.of(section)
        async with asyncio.timeout(CHECK_SECONDS):
            async for each in check.check(knows, services):
                found.append(each)  # noqa: PERF401 (what was found before a failure is kept)
    except settings.Wrong as wrong:
        found.append(about.broken("settings", str(wrong), "Set it; `vectorline config` shows what is read."))
    except TimeoutError:
        words = f"it was not looked at to its end within {CHECK_SECONDS:.0f} s"
        found.append(about.broken("answer", words, "Look at the network between here and there."))
    except Exception as error:  # whatever a client library raises, it is a finding
        words = f"{type(error).__name__}: {error}"
        found.append(about.broken("answer", words, "Look at the address, the network and the account's state."))
    return found

"""Which checks there are and which service needs which; each is the module of its name, imported when it is run."""

import importlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from services.doctor import finding, told
from services.runtime import settings

INGEST, EMBEDDER, INDEXER = SERVICES = ("ingest", "embedder", "indexer")

# In the order of the report.
ALL: Final = {
    "valkey": (INGEST, EMBEDDER),
    "dynamodb": (INDEXER,),
    "s3": (INGEST, INDEXER),
    "pinecone": (INDEXER,),
    "openai": (EMBEDDER,),
    "peers": (INGEST, EMBEDDER),
    "clocks": SERVICES,
    "certificates": SERVICES,
    "keys": SERVICES,
}
NAMES: Final = tuple(ALL)


class Check(Protocol):
    """What the module of a check has."""

    # Settings without which it cannot look at anything.
    SECTIONS: Sequence[type[settings.Section]]

    def check(self, knows: told.Told, services: Sequence[str], /) -> AsyncIterator[finding.Finding]:
        """What is found on behalf of these services."""


def chosen(only: Sequence[str], services: Sequence[str]) -> list[str]:
    """The checks of these names (none: all) that one of these services needs."""
    return [name for name, needed in ALL.items() if (not only or name in only) and not set(services).isdisjoint(needed)]


def load(name: str) -> Check:
    """The check of this name; who asks for few does not wait for the client libraries of all."""
    found: Check = importlib.import_module(f"services.doctor.{name}")
    return found

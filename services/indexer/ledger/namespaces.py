"""Which model and dimension a namespace holds: the first task that writes to it decides.

Pinecone would mix ada-002 and text-embedding-3-small silently: both are 1536 wide.
"""

import dataclasses
from collections.abc import Awaitable, Callable

import structlog

from services.indexer.ledger import items
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()


class NamespaceRefused(errors.Conflict):
    """The namespace holds vectors of another model or dimension."""

    default_reason = "NAMESPACE_REFUSED"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What vectors a namespace holds."""

    model: str
    dimension: int

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.model} ({self.dimension} values)"


class Namespaces:
    """Claims namespaces. What was claimed once is remembered: it never changes."""

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        *,
        index: str,
        index_dimension: Callable[[], int],
        look_again: Callable[[], Awaitable[None]],
    ) -> None:
        self._table = storage
        self._clock = watch
        self._index = index
        self._index_dimension = index_dimension
        self._look_again = look_again
        self._known: dict[str, Kind] = {}

    async def claim(self, namespace: str, model: str, dimension: int) -> None:
        """Claim the namespace for a model and dimension, or find that it holds just these.

        Raises:
            NamespaceRefused: It holds another's, or the index has another dimension.
        """
        wanted = Kind(model, dimension)
        if self._index_dimension() not in (0, dimension):
            await self._look_again()  # an operator may have put it right; a resumed task must not need a restart
        self._compare_index(dimension)
        if self._known.get(namespace) == wanted:
            return
        item = {
            table.KEY: items.namespace_key(self._index, namespace),
            "kind": "namespace",
            "model": model,
            "dimension": dimension,
            "claimed_at": clock.text(self._clock.now()),
        }
        try:
            await self._table.put(table.Put(item, when=(table.Missing(table.KEY),)))
            log.info("A namespace was claimed.", action="namespace_claimed", namespace=namespace, model=model)
        except table.ConditionFailed as failed:
            if failed.item is not None:
                _compare(namespace, _kind(failed.item), wanted)
        self._known[namespace] = wanted

    def _compare_index(self, dimension: int) -> None:
        """Before a cent is spent: the index would refuse every vector."""
        held = self._index_dimension()
        if held and held != dimension:
            raise NamespaceRefused(
                f"The index {self._index!r} has {held} values a vector, the embedders make {dimension}. Set "
                f"EMBEDDING_DIMENSIONS={held} (or another index) and retry the task.",
                reason="DIMENSION_REFUSED",
                metadata={"index": self._index, "holds": str(held), "wanted": str(dimension)},
            )

    async def check(self, namespace: str, model: str, dimension: int) -> None:
        """Whether a question with this model's vector makes sense there; an unclaimed namespace refuses nobody.

        Raises:
            NamespaceRefused: It holds another's.
        """
        if held := await self.holds(namespace):
            _compare(namespace, held, Kind(model, dimension))

    async def holds(self, namespace: str) -> Kind | None:
        """What the namespace was claimed for; None: nobody wrote to it yet."""
        held = self._known.get(namespace)
        if held is None:
            item = await self._table.get(items.namespace_key(self._index, namespace))
            if item is None:
                return None
            held = self._known[namespace] = _kind(item)
        return held


def _kind(item: table.Item) -> Kind:
    return Kind(item["model"], item["dimension"])


def _compare(namespace: str, held: Kind, wanted: Kind) -> None:
    if held != wanted:
        raise NamespaceRefused(
            f"Namespace {namespace!r} holds vectors of {held}, not of {wanted}. Use another namespace, or set "
            f"OPENAI_MODEL and EMBEDDING_DIMENSIONS to what it holds and retry the task.",
            metadata={"namespace": namespace, "holds": str(held), "wanted": str(wanted)},
        )

"""Which model and dimension a namespace holds: the first vector that is written to it decides.

Pinecone would mix ada-002 and text-embedding-3-small silently: both are 1536 wide. The gate only looks before a
purchase; the claim is written before the first upsert, so that nothing which was never bought holds a namespace. A
namespace that is empty again is released by an admin.
"""

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import Awaitable, Callable

import structlog

from services.indexer.ledger import items
from services.indexer.storage import clock, table
from services.runtime import errors

log = structlog.get_logger()

# What a namespace holds is read again when it is older than this.
KNOWN_SECONDS = 5.0
CLAIM_TRIES = 5


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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a task writes, and where."""

    namespace: str
    kind: Kind


class Namespaces:
    """Claims namespaces, and says what they hold.

    Args:
        storage: The table.
        watch: The ledger's clock.
        index: The Pinecone index.
        index_dimension: Values a vector of the index; 0 while that is not known.
        index_problem: Why the index takes no vectors at all now, whatever is sent; None: it does, as far as is known.
        look_again: Learns both anew.
        writes_seconds: Longest that an upsert may be on its way after the ledger was asked whether it may.
    """

    def __init__(
        self,
        storage: table.Table,
        watch: clock.Clock,
        *,
        index: str,
        index_dimension: Callable[[], int],
        index_problem: Callable[[], errors.Conflict | None],
        look_again: Callable[[], Awaitable[None]],
        writes_seconds: float,
    ) -> None:
        self._table = storage
        self._clock = watch
        self._index = index
        self._index_dimension = index_dimension
        self._index_problem = index_problem
        self._look_again = look_again
        self._writes_seconds = writes_seconds
        # What was read of late, and when.
        self._known: dict[str, tuple[Kind, float]] = {}

    @property
    def problem(self) -> errors.Conflict | None:
        """Why the index takes no vectors at all now, as far as is known."""
        return self._index_problem()

    def key(self, namespace: str) -> str:
        """Where a namespace's claim is kept."""
        return items.namespace_key(self._index, namespace)

    async def admit(self, namespace: str, model: str, dimension: int) -> None:
        """May vectors of this model be bought for the namespace? Claims nothing.

        Raises:
            errors.Conflict: The index takes none, or the namespace holds another's.
        """
        if self._index_problem() or self._index_dimension() not in (0, dimension):
            await self._look_again()  # an operator may have put it right; a resumed task must not need a restart
        if problem := self._index_problem():
            raise problem
        self._compare_index(dimension)
        await self.check(namespace, model, dimension)

    async def claim(self, namespace: str, model: str, dimension: int, held: table.Item | None = None) -> None:
        """Claim the namespace for what is about to be written, or find that it holds just that.

        Args:
            namespace: Where it is written to.
            model: Which made the vectors.
            dimension: Values a vector.
            held: The claim, if it was read a moment ago, consistently, and is there.

        Raises:
            NamespaceRefused: It holds another's.
        """
        key, wanted = self.key(namespace), Kind(model, dimension)
        for _ in range(CLAIM_TRIES):
            kind = _kind(held)
            if kind is not None:
                _compare(namespace, kind, wanted)
            try:
                if kind is None:
                    await self._put(key, namespace, wanted)
                elif held is not None and "releasing" in held:  # no longer: somebody writes to it
                    await self._table.update(
                        table.Update(key, remove=("releasing",), when=(table.Equals("releasing", held["releasing"]),))
                    )
            except table.ConditionFailed as failed:
                held = failed.item
            else:
                return
        raise errors.Unavailable(f"Namespace {namespace!r} is claimed and released all the time.")

    async def _put(self, key: str, namespace: str, wanted: Kind) -> None:
        claim: dict[table.Path, table.Value] = {
            "kind": "namespace",
            "model": wanted.model,
            "dimension": wanted.dimension,
            "claimed_at": clock.text(self._clock.now()),
        }
        await self._table.update(table.Update(key, set=claim, when=(table.Missing("model"),)))
        log.info("A namespace was claimed.", action="namespace_claimed", namespace=namespace, model=wanted.model)

    async def release(self, namespace: str, count: Callable[[], Awaitable[int]]) -> Kind:
        """Let the next task decide what an empty namespace holds; answers what it was claimed for.

        Marked first, then left alone for as long as an upsert may be on its way, and looked at once more: whoever
        writes to it meanwhile takes the mark away, and so the claim stays.

        Args:
            namespace: Which.
            count: How many vectors the index says are in it.

        Raises:
            errors.NotFound: It is not claimed.
            errors.Conflict: It is not empty, or somebody writes to it.
            errors.Unavailable: The index does not answer.
        """
        key, token = self.key(namespace), uuid.uuid4().hex
        held = _kind(await self._table.get(key))
        if held is None:
            raise errors.NotFound(
                f"Nothing was written to namespace {namespace!r} by this line, so it holds no model to release.",
                reason="NAMESPACE_UNCLAIMED",
            )
        _check_empty(namespace, await count())
        same = (table.Equals("model", held.model), table.Equals("dimension", held.dimension))
        marked = (table.Equals("releasing", token),)
        try:
            await self._table.update(table.Update(key, set={"releasing": token}, when=same))
            await asyncio.sleep(self._writes_seconds)
            _check_empty(namespace, await count())
            held_no_more = ("model", "dimension", "claimed_at", "releasing")
            await self._table.update(table.Update(key, set={"released": token}, remove=held_no_more, when=marked))
        except table.ConditionFailed as failed:
            if (failed.item or {}).get("released") == token:  # made again, since the answer was lost
                return self._released(namespace, held)
            raise errors.Conflict(
                f"A task writes to namespace {namespace!r}, or somebody else releases it; nothing was changed. Wait "
                f"for its tasks, or cancel them, and release it then.",
                reason="NAMESPACE_IN_USE",
                metadata={"namespace": namespace},
            ) from failed
        except errors.ServiceError:
            with contextlib.suppress(table.ConditionFailed, errors.Unavailable):
                await self._table.update(table.Update(key, remove=("releasing",), when=marked))
            raise
        return self._released(namespace, held)

    def _released(self, namespace: str, held: Kind) -> Kind:
        self._known.pop(namespace, None)
        log.warning("A namespace was released.", action="namespace_released", namespace=namespace, held=str(held))
        return held

    def _compare_index(self, dimension: int) -> None:
        """Before a cent is spent: the index would refuse every vector."""
        held = self._index_dimension()
        if held and held != dimension:
            raise NamespaceRefused(
                f"The index {self._index!r} has {held} values a vector, the embedders make {dimension}. Set "
                f"EMBEDDING_DIMENSIONS={held} (or leave it out) and retry the task; or make an index of {dimension} "
                f"values, and it goes on by itself.",
                reason="DIMENSION_REFUSED",
                metadata={"index": self._index, "holds": str(held), "wanted": str(dimension)},
            )

    async def check(self, namespace: str, model: str, dimension: int) -> None:
        """Whether this model's vectors make sense there; an unclaimed namespace refuses nobody.

        Raises:
            NamespaceRefused: It holds another's.
        """
        if held := await self.holds(namespace):
            _compare(namespace, held, Kind(model, dimension))

    async def holds(self, namespace: str) -> Kind | None:
        """What the namespace was claimed for; None: nobody wrote to it yet.

        It may be some seconds old, which is no matter: before a write the claim is read anew.
        """
        held, at = self._known.get(namespace, (None, 0.0))
        if held is None or time.monotonic() - at > KNOWN_SECONDS:
            held = _kind(await self._table.get(self.key(namespace)))
            self._known.pop(namespace, None)
            if held is not None:
                self._known[namespace] = held, time.monotonic()
        return held


def _kind(item: table.Item | None) -> Kind | None:
    return None if item is None or "model" not in item else Kind(item["model"], item["dimension"])


def _check_empty(namespace: str, vectors: int) -> None:
    if vectors:
        raise errors.Conflict(
            f"Namespace {namespace!r} holds {vectors} vectors; only an empty one is released. Delete them at Pinecone "
            f"first, or use another namespace.",
            reason="NAMESPACE_NOT_EMPTY",
            metadata={"namespace": namespace, "vectors": str(vectors)},
        )


def _compare(namespace: str, held: Kind, wanted: Kind) -> None:
    if held != wanted:
        raise NamespaceRefused(
            f"Namespace {namespace!r} holds vectors of {held}, not of {wanted}. Use another namespace, or set "
            f"OPENAI_MODEL and EMBEDDING_DIMENSIONS to what it holds and retry the task. If it is empty by now, "
            f"`vectorline namespace release {namespace}` lets the next task decide.",
            metadata={"namespace": namespace, "holds": str(held), "wanted": str(wanted)},
        )

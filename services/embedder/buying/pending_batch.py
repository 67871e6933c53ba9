"""A pending batch: the texts that one chunk wants bought, and what has come of them so far."""

import asyncio
import dataclasses
import enum
import weakref
from collections.abc import Callable, Collection

from services.billing import spend
from services.runtime.tracing import spans

# The gate's answer is asked again when it is older than this.
GATE_SECONDS = 2.0
# Reasons of rows whose text the provider refuses for its content, or never gives an embedding for.
REFUSED = "embedding_refused"
UNUSABLE = "embedding_unusable"


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a text has no vector: `reason` is for programs, `words` are the provider's."""

    reason: str
    words: str


class Reason(enum.Enum):
    """Why a batch was dropped before all of it was bought and settled; it decides how its chunk ends."""

    # Its task is blocked or no longer holds its turn, or its entry cannot be read: it may be split again.
    VOID = enum.auto()
    # The chunk is settled, or its task has ended: nobody will work it again.
    OVER = enum.auto()
    ACCOUNT_REFUSED = enum.auto()
    # Another embedder may have the chunk.
    LEASE_LOST = enum.auto()
    # This process is about to stop and has bought nothing of the chunk yet.
    DRAINING = enum.auto()
    # The indexer died twice of this chunk: it is for an embedder that holds nothing else.
    SUSPECT = enum.auto()
    # The indexer died of this chunk too often: it is failed by its header.
    POISON = enum.auto()
    # The indexer says that the chunk can never be indexed as it is.
    IMPOSSIBLE = enum.auto()
    # Of ours; it is the cause.
    DEFECT = enum.auto()


class Dropped(Exception):
    """Nothing more is to be done for the batch; its words are for people."""

    def __init__(self, reason: Reason, words: str = "") -> None:
        super().__init__(words)
        self.reason = reason


class PendingBatch:
    """Unique texts of a chunk in a queue with others; `packing` moves the cursor, `request_attempts` delivers.

    Args:
        texts: Unique texts, in row order.
        tokens: Tokens of each, exact or an upper bound.
        on_progress: Called when something happened, so that the lease goes on.
        first: It stands before all that are not.
    """

    def __init__(
        self, texts: list[str], tokens: list[int], on_progress: Callable[[], None], *, first: bool = False
    ) -> None:
        self.texts = texts
        # Of each text.
        self.costs = tokens
        # The texts to buy, in order, and the tokens of each.
        self.order = list(range(len(texts)))
        self.tokens = list(tokens)
        self.cursor = 0
        self.vectors: list[bytes | None] = [None] * len(texts)
        self.refusals: dict[int, Refusal] = {}
        # Texts whose vector was bought with another chunk.
        self.reused: set[int] = set()
        self.first = first
        # Batches that wait for texts of this one: they go on while it does. Nearly always there is none.
        self._followers: weakref.WeakSet[PendingBatch] | None = None
        # Called when a text has its vector or its refusal, and once nothing more is bought for it.
        self.on_text: Callable[[PendingBatch, int], None] = _ignore
        self.on_drop: Callable[[PendingBatch], None] = _ignore
        self.beat = on_progress
        # What was paid for it, until it leaves.
        self.paid = spend.NOTHING
        # It was told with a call to settle the chunk, which may have been heard although it broke.
        self.told = False
        self._payer: Callable[[spend.Spend], None] | None = None
        # The chunk's span, where it is recorded: requests that hold its texts are shown there.
        self.traceparent = spans.recorded()
        # The quota held up a request for any of its texts, or would have taken more with it.
        self.rationed = False
        self._placed_at: float | None = None
        self._finished_at = 0.0
        self._open = len(texts)
        self._gone_at = float("-inf")
        self._dropped: Dropped | None = None
        self._changed = asyncio.Event()
        self._admitted = asyncio.Event()
        self._on_admission: Callable[[], None] = _ignore

    @property
    def finished(self) -> bool:
        """Every text has a vector or a refusal."""
        return self._open == 0

    @property
    def untouched(self) -> bool:
        """No request has taken any of its texts: handing it back loses nothing."""
        return self.cursor == 0

    @property
    def dropped(self) -> Dropped | None:
        """Why it was dropped, or None."""
        return self._dropped

    def check(self) -> None:
        """Go on only if it is still wanted.

        Raises:
            Dropped: It is not.
        """
        if self._dropped is not None:  # a new one each time: an exception keeps the frames it went through alive
            raise Dropped(self._dropped.reason, str(self._dropped)) from self._dropped.__cause__

    @property
    def seconds(self) -> float:
        """From its place in the queue to its last vector; 0 before that."""
        return 0.0 if self._placed_at is None else max(0.0, self._finished_at - self._placed_at)

    def placed(self) -> None:
        """It stands in the queue."""
        if self._placed_at is None:
            self._placed_at = asyncio.get_running_loop().time()

    def on_progress(self) -> None:
        """Something happened to it, so that its lease goes on, and those of the batches that wait for it."""
        self.beat()
        if self._followers is not None:
            for each in tuple(self._followers):
                each.beat()

    def follow(self, other: "PendingBatch") -> None:
        """Another waits for texts of this one."""
        if self._followers is None:
            self._followers = weakref.WeakSet()
        self._followers.add(other)

    def leave_out(self, indexes: Collection[int]) -> None:
        """Do not buy these; to be said before it stands in the queue."""
        if indexes:
            self.order = [index for index in self.order if index not in indexes]
            self.tokens = [self.costs[index] for index in self.order]

    def want(self, index: int) -> None:
        """Buy this text after all."""
        self.order.append(index)
        self.tokens.append(self.costs[index])

    def admit(self, asked_at: float) -> None:
        """The gate said GO to a question asked at that time of the loop's clock."""
        self._gone_at = asked_at
        self._admitted.set()
        self._on_admission()

    def on_admission(self, call: Callable[[], None]) -> None:
        """Call this whenever the gate says GO."""
        self._on_admission = call

    def fresh(self) -> bool:
        """The gate's GO is recent enough to buy on."""
        return self._dropped is None and asyncio.get_running_loop().time() - self._gone_at < GATE_SECONDS

    async def admission(self) -> None:
        """Wait until it may be bought.

        Raises:
            Dropped: It is not wanted any more.
        """
        while not self.fresh():
            self.check()
            self._admitted.clear()
            self.on_progress()
            try:
                async with asyncio.timeout(GATE_SECONDS):
                    await self._admitted.wait()
            except TimeoutError:
                continue

    def drop(self, reason: Reason, words: str = "", *, defect: Exception | None = None) -> None:
        """Nothing more is bought for it; the first reason holds."""
        if self._dropped is None:
            self._dropped = Dropped(reason, words)
            self._dropped.__cause__ = defect
            self.on_drop(self)
        self._admitted.set()
        self._changed.set()

    def pay(self, spent: spend.Spend) -> None:
        """Something was paid for it."""
        if self._payer is None:
            self.paid += spent
        else:
            self._payer(spent)

    def leave(self, payer: Callable[[spend.Spend], None]) -> None:
        """It will not be settled here: tell `payer` what was paid, also for what is still under way."""
        self._payer = payer
        if self.paid:
            payer(self.paid.doubtful() if self.told else self.paid)

    def deliver(self, index: int, vector: bytes) -> None:
        """A vector came."""
        if self.vectors[index] is None and index not in self.refusals:
            self.vectors[index] = vector
            self._settle_one(index)

    def reuse(self, index: int, vector: bytes) -> None:
        """A vector that was bought with another chunk."""
        if self.vectors[index] is None and index not in self.refusals:
            self.reused.add(index)
            self.deliver(index, vector)

    def refuse(self, index: int, words: str, reason: str = REFUSED) -> None:
        """The provider refuses this text, or has no embedding for it."""
        if self.vectors[index] is None and index not in self.refusals:
            self.refusals[index] = Refusal(reason, words)
            self._settle_one(index)

    async def change(self) -> None:
        """Wait until something was delivered, refused or dropped since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def _settle_one(self, index: int) -> None:
        self._open -= 1
        if self.finished:  # progress is told with each request, not with each of its texts
            self._finished_at = asyncio.get_running_loop().time()
            self.on_progress()
        self._changed.set()
        self.on_text(self, index)


@dataclasses.dataclass(slots=True, eq=False)
class Piece:
    """One text of a request: where it belongs. There is one a text: frozen it would take three times as long."""

    batch: PendingBatch
    index: int

    @property
    def tokens(self) -> int:
        """What it costs, exactly or at most."""
        return self.batch.costs[self.index]


def _ignore(*_: object) -> None:
    """Nobody wants to know."""

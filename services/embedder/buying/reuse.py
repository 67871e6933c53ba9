"""Equal texts of a task are bought once, also across chunks, as far as they meet in this process.

A vector that was bought lately is delivered at once. A text that another chunk has asked for right now is waited for;
should that chunk be dropped, one of those that wait buys it. Texts of other tasks are never looked at.
"""

import collections
from collections.abc import Callable

from services.billing import window
from services.embedder.buying.pending_batch import PendingBatch

# A task and a text.
Key = tuple[str, str]


class Reuse:
    """The vectors bought lately, and who buys what.

    Args:
        place: Puts a batch into the queue, if it is not there.
        most: Bytes of vectors and texts that are kept.
    """

    def __init__(self, place: Callable[[PendingBatch], None], most: int = window.BYTES) -> None:
        self._place = place
        self._window: window.Window[Key, bytes] = window.Window(most)
        self._buyers: dict[Key, PendingBatch] = {}
        self._waiting: collections.defaultdict[Key, list[tuple[PendingBatch, int]]] = collections.defaultdict(list)
        self._keys: dict[PendingBatch, list[Key]] = {}

    def enter(self, task_id: str, batch: PendingBatch) -> None:
        """A batch that may be bought now: it goes into the queue with what nobody has or buys."""
        keys = [(task_id, text) for text in batch.texts]
        known: dict[int, bytes] = {}
        others: set[int] = set()
        for index, key in enumerate(keys):
            vector = self._window.get(key)
            if vector is not None:
                known[index] = vector
            elif key in self._buyers:
                self._waiting[key].append((batch, index))
                self._buyers[key].follow(batch)
                others.add(index)
            else:
                self._buyers[key] = batch
        self._keys[batch] = keys
        batch.leave_out(others | known.keys())
        batch.on_text, batch.on_drop = self._came, self.leave
        for index, vector in known.items():
            batch.reuse(index, vector)
        if batch.tokens:
            self._place(batch)
        else:
            batch.placed()
        if batch.dropped is not None:
            self.leave(batch)

    def leave(self, batch: PendingBatch) -> None:
        """It buys and waits no more; what it was to buy for others is bought by one of them."""
        heirs: dict[PendingBatch, None] = {}
        for key in self._keys.pop(batch, ()):
            if key in self._waiting:
                self._waiting[key] = [each for each in self._waiting[key] if each[0] is not batch]
            if self._buyers.get(key) is batch:
                del self._buyers[key]
                if self._waiting[key]:
                    heir, index = self._waiting[key].pop(0)
                    self._buyers[key] = heir
                    heir.want(index)
                    heirs[heir] = None
                    for other, _ in self._waiting[key]:
                        heir.follow(other)
            if not self._waiting[key]:
                del self._waiting[key]
        for heir in heirs:
            self._place(heir)

    def _came(self, batch: PendingBatch, index: int) -> None:
        """A batch has a text's vector, or its refusal: whoever waits for it has it too."""
        keys = self._keys.get(batch)
        if keys is None:
            return
        key, vector = keys[index], batch.vectors[index]
        if vector is not None:
            self._window.put(key, vector, len(vector) + len(key[1]))
        if self._buyers.get(key) is not batch:
            return
        del self._buyers[key]
        for other, at in self._waiting.pop(key, ()):
            if vector is not None:
                other.reuse(at, vector)
            else:
                refusal = batch.refusals[index]
                other.refuse(at, refusal.words, refusal.reason)

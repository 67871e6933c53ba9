"""How much memory the uploads of a process may hold, all together."""

import asyncio
import collections


class Budget:
    """Bytes that are taken and given back; who finds too little left waits, and is served in the order of coming.

    Whoever waits holds at most a part that is under way, and that ends by itself: nobody waits for ever. One who wants
    more than there is gets all of it.

    Args:
        size_bytes: How many there are.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._free = size_bytes
        self._waiting: collections.deque[tuple[int, asyncio.Future[None]]] = collections.deque()

    @property
    def held_bytes(self) -> int:
        """How many are taken now."""
        return self._size - self._free

    async def take(self, count: int) -> int:
        """Take some bytes, when there are as many; returns how many must be given back."""
        count = min(count, self._size)
        if not self._waiting and count <= self._free:
            self._free -= count
            return count
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came to its turn just then
                self.give_back(count)
            else:
                self._waiting.remove((count, turn))
                self._serve()
            raise
        return count

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        self._free += count
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            count, turn = self._waiting.popleft()
            self._free -= count
            turn.set_result(None)

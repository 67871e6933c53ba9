"""Tokens by key in memory."""

import collections


class LocalTokens:
    """Implements `key_tokens.Tokens` for one day that never ends."""

    def __init__(self) -> None:
        self.by_key: collections.Counter[str] = collections.Counter()

    def spent(self, key_id: str, tokens: int) -> None:
        """See `key_tokens.Tokens.spent`."""
        self.by_key[key_id] += tokens

    async def used(self, key_id: str) -> int:
        """See `key_tokens.Tokens.used`."""
        return self.by_key[key_id]

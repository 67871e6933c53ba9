"""How many requests a run of texts takes when every one is packed to the provider's limits."""

# https://platform.openai.com/docs/api-reference/embeddings/create
REQUEST_INPUTS = 2_048
REQUEST_TOKENS = 300_000
# The line packs a bulk request to at most this much of the token limit, so that a search never waits longer.
REQUEST_SECONDS = 2.0


class Requests:
    """Packs texts in their order; a text over the token limit goes alone.

    Args:
        tokens_per_minute: The configured limit; 0: none.
    """

    def __init__(self, tokens_per_minute: float) -> None:
        self.count = 0
        self._most = REQUEST_TOKENS
        if tokens_per_minute > 0:
            self._most = max(1, min(REQUEST_TOKENS, int(tokens_per_minute / 60 * REQUEST_SECONDS)))
        self._inputs = REQUEST_INPUTS  # full: the first text opens a request
        self._tokens = 0

    def add(self, tokens: int) -> None:
        """One more text."""
        if self._inputs == REQUEST_INPUTS or self._tokens + tokens > self._most:
            self.count += 1
            self._inputs = self._tokens = 0
        self._inputs += 1
        self._tokens += tokens

"""Who pays for a request: what it was billed for is divided among the batches whose texts were in it."""

from collections.abc import Sequence

from services.billing import spend
from services.embedder.buying.pending_batch import PendingBatch, Piece


def charge(pieces: Sequence[Piece], tokens: int, brought: Sequence[bool]) -> None:
    """An answer was billed for so many tokens: each batch pays its share, in whole tokens, and together all of them.

    Args:
        pieces: The texts of the request.
        tokens: That were billed.
        brought: Whether each text has its embedding.
    """
    for batch, (share, bought) in _shares(pieces, tokens, brought).items():
        batch.pay(spend.Spend(tokens=share, texts_bought=bought))


def doubt(pieces: Sequence[Piece]) -> None:
    """A request had no answer: it may have been billed."""
    for batch, (share, _) in _shares(pieces, sum(piece.tokens for piece in pieces), [False] * len(pieces)).items():
        batch.pay(spend.Spend(tokens_doubtful=share))


def _shares(pieces: Sequence[Piece], tokens: int, brought: Sequence[bool]) -> dict[PendingBatch, tuple[int, int]]:
    """Tokens and texts by batch. Where the texts were counted exactly, the shares are these counts."""
    weight = sum(piece.tokens for piece in pieces) or 1
    shares: dict[PendingBatch, tuple[int, int]] = {}
    so_far = divided = 0
    for piece, has in zip(pieces, brought, strict=True):
        so_far += piece.tokens
        due = tokens * so_far // weight - divided
        divided += due
        share, texts = shares.get(piece.batch, (0, 0))
        shares[piece.batch] = (share + due, texts + has)
    return shares

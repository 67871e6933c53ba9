"""Requests in the traces of the chunks that they buy for."""

import collections
import contextlib
from collections.abc import Iterator, Sequence

from services.embedder.buying.pending_batch import Piece
from services.runtime.tracing import spans


@contextlib.contextmanager
def request(pieces: Sequence[Piece]) -> Iterator[None]:
    """A span of the request in the trace of each chunk that has a text in it and is recorded."""
    recorded = [piece.batch for piece in pieces if piece.batch.traceparent] if spans.on() else []
    with contextlib.ExitStack() as stack:
        for batch, texts in collections.Counter(recorded).items():
            opened = spans.under(batch.traceparent, "OpenAI embeddings", spans.Kind.CLIENT, apart=True)
            span = stack.enter_context(opened)
            span.set("texts", texts)
            span.set("texts_of_all_chunks", len(pieces))
        yield

"""Requests in the traces of the chunks that they buy for."""

import collections
import contextlib
from collections.abc import Iterator, Sequence

from services.embedder.buying.pending_batch import PendingBatch
from services.runtime.tracing import spans


@contextlib.contextmanager
def request(batch_of_text: Sequence[PendingBatch]) -> Iterator[None]:
    """A span of the request in the trace of each chunk that has a text in it and is recorded.

    Args:
        batch_of_text: Of each text in the request, whose it is.
    """
    with contextlib.ExitStack() as stack:
        for batch, texts in collections.Counter(batch_of_text).items() if spans.on() else ():
            opened = spans.under(batch.traceparent, "OpenAI embeddings", spans.Kind.CLIENT, apart=True)
            span = stack.enter_context(opened)
            span.set("texts", texts)
            span.set("texts_of_all_chunks", len(batch_of_text))
        yield

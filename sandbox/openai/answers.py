"""The JSON of a successful answer, put together by hand where that is faster than a serialiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pybase64

from sandbox.openai import words


def write(
    vectors: words.Floats,
    indexes: Sequence[int],
    model_name: str,
    token_count: int,
    *,
    as_base64: bool,
    hides_zero: bool = False,
) -> bytes:
    """Return the body of ``POST /v1/embeddings``: ``vectors`` (rows, dimensions) float32, ``indexes`` one per row.

    base64 holds little-endian float32, as OpenAI sends it; NaN becomes null in the form of floats.
    ``hides_zero``: an index of 0 is left out.
    """
    usage = orjson.dumps({"prompt_tokens": token_count, "total_tokens": token_count})
    tail = b'],"model":' + orjson.dumps(model_name) + b',"usage":' + usage + b"}"
    little = np.ascontiguousarray(vectors, dtype="<f4")
    if as_base64:
        rows = (b'"%b"' % pybase64.b64encode(row) for row in little)
    else:
        rows = (orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in little)
    parts = [b'{"object":"list","data":[']
    for number, (index, row) in enumerate(zip(indexes, rows, strict=True)):
        place = b"" if hides_zero and not index else b'"index":%d,' % index
        parts += (b"," if number else b"", b'{"object":"embedding",%b"embedding":' % place, row, b"}")
    return b"".join((*parts, tail))

"""The same upserts through Pinecone's own SDK: the reference that `pinecone_writer` is held to, and a way out.

PINECONE_TRANSPORT=sdk chooses it. It speaks REST, so it also reaches an index whose gRPC is closed off; it costs about
five times the CPU, since every float becomes a Python number on its way.
"""

from collections.abc import Sequence

import numpy as np
import pinecone.errors
from google.protobuf import json_format, struct_pb2

from services.indexer import pinecone_batch, pinecone_client

REFUSED_STATUSES = frozenset({400, 413, 422})


async def upsert(
    index: pinecone_client.Pinecone, namespace: str, vectors: Sequence[pinecone_batch.Vector], deadline_seconds: float
) -> int:
    """Write vectors; answers how many the index says it wrote.

    Raises:
        pinecone_batch.IndexRefused: The content is refused.
        pinecone_batch.IndexUnavailable: Anything else.
    """
    records = [
        {
            "id": vector.id,
            "values": np.frombuffer(vector.values, "<f4").tolist(),
            "metadata": json_format.MessageToDict(struct_pb2.Struct.FromString(vector.metadata)),
        }
        for vector in vectors
    ]
    data, _ = await index.data_plane()
    try:
        answer = await data.upsert(vectors=records, namespace=namespace, timeout=deadline_seconds)
    except (pinecone.errors.ValidationError, pinecone.errors.PineconeValueError) as error:
        raise pinecone_batch.IndexRefused(str(error)[:300]) from error
    except pinecone.errors.PineconeError as error:
        words = str(error)[:300]
        if getattr(error, "status_code", 0) in REFUSED_STATUSES:
            raise pinecone_batch.IndexRefused(words) from error
        raise pinecone_batch.IndexUnavailable(words) from error
    return int(answer.upserted_count)

"""The embedder: chunks of rows come from the queue, their texts become vectors, which go to the indexer.

A chunk passes: the queue → `working` → `buying` → `openai` (with a permit of `limiter`) → `working` → the indexer.
A search passes: `servicer` → `buying.interactive` → `openai` → the indexer.

Where to look, from above to below; no room imports one above it:
    __main__, app, settings     starts, wires, is told
    servicer                    RPC in, domain out
    working                     one chunk, from lease to ack
    views                       what operators see
    buying                      texts become vectors
    indexer_client              the indexer; gRPC ends there
    openai                      the provider's protocol
    limiter                     the quota of all replicas
"""

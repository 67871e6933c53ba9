"""The index at Pinecone: what goes into it, and what it says of itself.

The way of an upsert:
    batch         vectors as the bytes of one request, and the two ways in which an index says no
    writer        tries a batch with patience, bisects a refused one, counts what the index says it wrote
    concurrency   how many upserts run at once: as many as the index bears
    transport     by which way a batch goes: `wire` (gRPC, the bytes as they lie) or `rest` (Pinecone's SDK)
    meter         what the upserts cost, as far as their answers tell
    quota         which refusal is a plan's quota, and no limit by the second
    shape         what kind of index it is, and whether it takes our vectors at all
    client        beside it, the SDK for the rest: describe the index, ask for nearest neighbours
    reading       ids by prefix and records by id, within the index's limits

A vector counts as written when Pinecone says so, never before; all tries of one upsert end with its deadline.
"""

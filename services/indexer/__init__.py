"""The indexer: writes vectors to Pinecone, and keeps the books of tasks and chunks, alone.

Where to look:
    servicer    IndexerService; a chunk goes from it to `indexing`, what concerns tasks to `tasks`
    indexing    one chunk: its vectors into the index as they come, its rejects into S3, then settled, once
    tasks       what callers and operators are told about tasks
    ledger      the truth about tasks and chunks, and LedgerService, by which ingest and embedder reach it
    pinecone    the index: upserts over gRPC or REST, nearest neighbours
    storage     what the two above lie on: the table, the objects of rejected rows, the ledger's clock
    provision   creates table, bucket and index where they are absent

A room imports only what stands below it in this list; `pinecone` and `ledger` do not know each other.
"""

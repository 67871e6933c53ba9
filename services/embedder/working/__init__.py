"""Chunks are worked: from the lease to the ack, several at once.

Every delivery ends in one of four ways (see `worker`): settled, void, handed back or lost. Vectors that were bought are
kept until the indexer has settled their chunk, or the chunk is void.

Where to look, in the order in which a chunk passes:
    consuming       takes as many chunks as are wanted
    concurrency     how many that is
    worker          the work on one chunk, and how it ends
    decoding        under strikes, small chunks together
    rows            decoded: unique texts to buy, batches of vectors to send
    gates           asked before every purchase, and kept fresh
    sending         to the indexer, as they are bought
    unsettled       what was paid for chunks that were given up
"""

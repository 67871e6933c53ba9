"""The chunk queue between ingest and embedder, on a Valkey stream. It knows nothing of what is in a row.

Transport, not truth: Valkey may be flushed or restarted at any moment; what is missing is split and published again.

Where to look:
    entry       what travels: a header in plain fields and a compressed payload
    store       the queue's operations, each atomic (``valkey_store`` on Lua; ``memory_store`` for tests, simulations)
    publisher, splitting, inflight     ingest's side
    consumer, delivery, strikes        embedder's side
    presence, views                    who is alive, what is queued
"""

"""Counters of the queue."""

from prometheus_client import Counter

PUBLISHED = Counter("vectorline_chunks_published", "Attempts to publish a chunk, by outcome.", ["outcome"])
TAKEN = Counter(
    "vectorline_chunks_taken", "Chunks handed to this process, by lane and by way (new, reclaimed).", ["lane", "way"]
)
ACKED = Counter("vectorline_chunks_acked", "Acks, by whether this process still owned the chunk.", ["owner"])
HANDED_BACK = Counter("vectorline_chunks_handed_back", "Chunks given back for the next one to take.")
LEASES_LOST = Counter(
    "vectorline_chunks_leases_lost", "Chunks that this process lost while it worked on them.", ["because"]
)
for _because in ("not_owner", "no_progress"):
    LEASES_LOST.labels(_because)  # shown from 0 on: what is first seen at 1 has not grown, for an alarm
ENTRIES_LOST = Counter("vectorline_chunks_entries_lost", "Entries that vanished from a stream while pending.")
DISCARDED = Counter("vectorline_chunks_discarded", "Entries that this version cannot read.")
PRUNED = Counter("vectorline_chunks_pruned", "Chunks in flight whose entry was gone.")

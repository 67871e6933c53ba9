"""Texts become vectors: requests are packed, started when there is a permit, tried again, bisected.

An outage never fails a text, it waits; a text fails only for a refusal that was pinned on it, or when it alone goes on
failing while others are bought. What was bought
is delivered to the batch that it was bought for, and not paid for again.

Where to look, in the order in which a text passes:
    tokens              what it costs
    pending_batch       the texts of one chunk, and what has come of them so far
    reuse               equal texts of a task across its chunks
    batching            the queue of these: requests are packed from its front the moment a permit comes
    packing             which texts make the next request (pure)
    sizes               how much a request may hold, and what the server turned out to take
    shared_sizes        the same, told to embedders that start
    slots               how many requests are under way
    request_attempts    one request: try, retry, slow down, make smaller. The one place that retries OpenAI
    trials              what its attempts came to, and how long to wait before the next
    charging            what each batch of a request pays of it
    proof               whose fault a refusal is: whether anything at all is bought
    shared_backoff      what one request learns of the quota and the account holds for everybody
    account             while the account refuses: one probe a minute for the whole line
    interactive         texts that somebody waits for: they pass by all this, but for the limiter
"""

"""Texts become vectors: requests are packed, started when there is a permit, tried again, bisected.

An outage never fails a text, it waits; a text fails only for a refusal that bisecting has pinned on it. What was bought
is delivered to the batch that it was bought for, and not paid for again.

Where to look, in the order in which a text passes:
    tokens              what it costs
    pending_batch       the texts of one chunk, and what has come of them so far
    batching            the queue of these: requests are packed from its front the moment a permit comes
    packing             which texts make the next request (pure)
    request_attempts    one request: try, retry, slow down, bisect. The one place that retries OpenAI
    shared_backoff      what one request learns of the quota and the account holds for everybody
    account             while the account refuses: one probe a minute for the whole line
    interactive         texts that somebody waits for: they pass by all this, but for the limiter
"""

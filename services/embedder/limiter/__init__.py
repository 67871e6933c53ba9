"""The global limiter: what may be asked of OpenAI at this moment, for all replicas together.

Whoever wants to send a request waits in `permits`, which asks the limiter for one permit at a time, a search before
bulk. It promises what `promise` says of every window of time, and fails closed: without Valkey nothing starts.

Where to look:
    promise     the rule as an interface, its numbers and words
    valkey      the limiter of all replicas: one Lua script (``lua/``) a question, by Valkey's clock
    memory      the same semantics in memory, for tests and simulations
    permits     the queue of this process in front of it
    request_sizes   how much one request may hold, as all of them found out
"""

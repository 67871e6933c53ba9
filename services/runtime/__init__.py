"""What any process is made of. It knows no service by name and no word of the pipeline: each hands in what is its own.

A process passes: settings → secrets → server → (health) → calls, each through the interceptors → drain.

Where to look:
    settings, secrets, aws, configuration      what a process is told, where its secrets are, the same for people
    server, health, probe, heap, lateness      it starts, is well, drains; its memory, its event loop
    interceptors                               around every call: journal, failures, authentication, decoding
    keys, identity, key_rates, tls             who calls, and what they may use
    channels                                   calls to other services
    errors, stages, failpoints                 errors with code and reason, where time goes, faults on demand
    logs, repeats                              log lines, of alike ones a few
    metrics, host, expiry                      what a metric means over replicas; the machine; what runs out when
    background, breaker, grouping, wire        tools: loops that go on, a circuit breaker, calls that go together,
                                               protobuf packed by hand
"""

"""What the ledger lies on. It knows keys, items and objects, and nothing of what they mean.

Where to look:
    table       the interface: items by key, writes as data with the conditions under which they hold
    dynamodb    the table of a running line
    memory      the same semantics in a dict, for tests and simulations; a differential test holds the two together
    clock       one time for all indexers: the local clock, corrected by what DynamoDB's answers say
    rejects     rejected rows, an S3 object a chunk; `objects` names them
    limits      what DynamoDB takes, for the table in memory

A write that raised Unavailable may have been applied: every one is conditional, or safe to repeat.
"""

"""Looks at everything that the line depends on, from where it is run, with the services' own settings and clients.

``vectorline doctor`` or ``python -m services.doctor`` (in a service's container: ``--for embedder`` looks at what that
service needs and no more). It spends one token at OpenAI and about ten write units at Pinecone, and leaves one small
item in the table (``doctor``) and the objects ``plans/doctor`` and ``rejects/doctor`` in the bucket.

A check passes: told (settings) → its own calls → findings → report.

Where to look:
    checks                                      which there are, and which service needs which
    finding, told, report, examination          what a check says, what it is told, how it is shown, how all are run
    valkey, dynamodb, s3, pinecone, openai      the dependencies; `amazon`: what AWS means by an error
    peers, clocks, certificates, keys       the other services, and what runs out or runs apart
"""

"""OpenAI's embeddings protocol, and nothing else: no quota, no retries, no chunk.

Texts go in, as many vectors come out, in their order and as the bytes that OpenAI sent; or one of `errors`, each of
which says what is to be done about it. No word of a text or a key is in them.

Where to look, in the order in which a request passes:
    client      one request and its deadline
    answers     its answer, decoded while it comes and checked before it is used
    parameters  what is sent besides: no more than changes something, nothing that the server refuses
    connections what it means that no answer came
    errors      what is to be done about an answer that is none
    sorting     which of these it is, by its status, its codes and its words
    headers     what a 429 says about the quota
"""

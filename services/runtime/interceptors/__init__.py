"""Around every call, in this order: tracing (where it is on), journal, failures, auth, decoding.

Nothing of a request is decoded before its caller is known.
"""

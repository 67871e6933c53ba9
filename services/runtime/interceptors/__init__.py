"""Around every call, in this order: journal, failures, auth, decoding.

Nothing of a request is decoded before its caller is known.
"""

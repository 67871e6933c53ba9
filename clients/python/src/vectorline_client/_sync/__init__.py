"""The client without async: made of `_async` by unasync.py, but for `platform`, which is written by hand."""

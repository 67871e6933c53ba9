"""Pinned source and plan make chunks.

``split`` is the pure function, ``survey`` judges all rows for a comparison, ``early`` does so while they are scanned,
``reread`` reads single rows again, ``hashed`` is what a manifest knows of rows, ``task_source`` opens them for a task.
"""

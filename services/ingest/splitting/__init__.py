"""Pinned source and plan make chunks.

``split`` is the pure function, ``survey`` judges all rows for a comparison, ``reread`` reads single rows again,
``task_source`` opens them for a task.
"""

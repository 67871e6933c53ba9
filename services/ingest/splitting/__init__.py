"""Pinned source and plan make chunks.

``split`` is the pure function, ``cursor`` reads from a row on, ``reread`` reads single rows again, ``task_source``
opens all of them for a task.
"""

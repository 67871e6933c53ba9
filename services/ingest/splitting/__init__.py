"""Pinned source and plan make chunks.

``split`` is the pure function, ``reread`` reads single rows again, ``task_source``
opens both for a task.
"""

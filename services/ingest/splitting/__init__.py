"""Pinned source and plan make chunks.

``split`` is the pure function, ``cursor`` reads from a row on, ``task_source`` opens both for a task.
"""

"""Pinned source and plan make chunks.

``split`` is the pure function, ``task_source`` opens source and plan for a task.
"""

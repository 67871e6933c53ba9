"""A task, from wherever it stands.

``resubmitter`` finds tasks that nobody drives, ``driver`` takes one through turn, scan, split and seal, ``lease_watch``
says whether it may go on, ``waiting`` when to ask for a turn again, ``defects`` and ``refusals`` when to give it up,
``retrying`` which rejected rows a retry takes.
"""

"""A task, from wherever it stands.

``resubmitter`` finds tasks that nobody drives, ``driver`` takes one through turn, scan, split and seal, ``lease_watch``
says whether it may go on, ``defects`` when to give it up, ``retrying`` which rejected rows a retry takes.
"""

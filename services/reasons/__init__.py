"""Every name that a caller may meet for what went wrong: what it means, and what to do about it.

The code raises by name; here stands once what the name says. `docs/reasons.py` makes the page of it, and a test holds
both to each other: a name that is raised and does not stand here fails it, and so does one that nobody raises.
"""

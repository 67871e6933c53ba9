"""Puts half of a tested line into zone B: the second replica of each service. On the PYTHONPATH of the line.

A process there has a group of its own, by which the drill's firewall knows what it sends.
"""

import os

_group = os.environ.get("ZONE_GROUP", "")
if _group and os.environ.get("PROCESS_NAME", "").endswith("-2"):
    os.setgid(int(_group))

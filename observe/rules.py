"""deploy/observe/alerts.yaml, as it is or in a hurry: the same rules with all times shorter, for a test."""

import pathlib
import re
from typing import Final

ALERTS: Final = pathlib.Path(__file__).resolve().parent.parent / "deploy" / "observe" / "alerts.yaml"
_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
# A range, an offset, or how long something has to last. Times in words for people stay.
_TIMES: Final = re.compile(r"(?P<before>\[|offset |for: )(?P<number>\d+)(?P<unit>[mhd])\b")


def alerts(hurry: float = 1.0) -> str:
    """The rules, all their times divided by `hurry`; a second at least."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found["number"]) * _SECONDS[found["unit"]] / hurry
        return f"{found['before']}{max(1, round(seconds))}s"

    text = ALERTS.read_text()
    return text if hurry == 1.0 else _TIMES.sub(shorter, text)

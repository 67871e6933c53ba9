"""A name, and what is to be said of it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reason:
    """What stands for something that went wrong, for programs.

    Attributes:
        name: Stable: UPPER_SNAKE of requests and tasks, lower_snake of rows and warnings.
        meaning: What is so.
        remedy: What to do about it.
        passes: Of a row: the same row may go through the next time, so a retry takes it. Of a blocked task: it goes on
            by itself once the cause is mended.
    """

    name: str
    meaning: str
    remedy: str
    passes: bool = False

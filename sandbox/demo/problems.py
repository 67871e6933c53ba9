"""What stops the demo."""

from __future__ import annotations


class ProblemError(Exception):
    """Something is not as it should be.

    Args:
        message: One sentence.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

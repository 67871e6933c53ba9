"""What is to be done about an answer of OpenAI that is no embeddings; `sorting` decides which it is."""

from collections.abc import Sequence


class Refused(Exception):
    """The request is refused. Whether for its content or for ours, `buying.proof` finds out: a status does not tell."""


class TooLarge(Refused):
    """The request holds too much. `inputs`, `tokens`: the limit, where the answer names it; else 0."""

    def __init__(self, message: str, *, inputs: int = 0, tokens: int = 0) -> None:
        super().__init__(message)
        self.inputs = inputs
        self.tokens = tokens


class AccountRefused(Exception):
    """It concerns the account or our configuration, not the content: nothing is bought until that is mended."""


class Throttled(Exception):
    """429: too fast. `seconds` is how long to pause, `tokens_exceeded` which limit it was, `limit_per_minute` its size.

    A limit of 0 means that the answer did not name it. `too_large`: the request alone asks for more than the limit, by
    the factor `excess`; however long it waits, it will not be let in.
    """

    brief = "OpenAI answers HTTP 429."

    def __init__(
        self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0, excess: float = 0.0
    ) -> None:
        super().__init__(f"asked to pause for {seconds:.1f} s")
        self.seconds = seconds
        self.tokens_exceeded = tokens_exceeded
        self.limit_per_minute = limit_per_minute
        self.excess = excess

    @property
    def too_large(self) -> bool:
        """The request alone is over the limit."""
        return self.excess > 1


class Failed(Exception):
    """5xx, a dropped connection: the same request may succeed later. `seconds`: not before, if said.

    `brief` says it in words of ours alone, for those whose texts these were not: a server may quote a text.
    """

    # It may have been billed all the same: the server had it, and nobody saw the end of its answer.
    maybe_billed = False
    _BRIEF = "OpenAI cannot be reached."

    def __init__(self, message: str, seconds: float = 0.0, brief: str = "") -> None:
        super().__init__(message)
        self.seconds = seconds
        self.brief = brief or self._BRIEF


class Unanswered(Failed):
    """The connection broke after the request was sent."""

    maybe_billed = True
    _BRIEF = "Connections to OpenAI break before an answer has come."


class TimedOut(Unanswered):
    """No answer within the deadline: a smaller request may have one."""

    _BRIEF = "OpenAI does not answer in time."


class Adapted(Failed):
    """The server does not take a parameter, which is left out from now on: to be asked again at once."""


class Invalid(Failed):
    """A 200 that is no answer: not one embedding an input, a wrong dimension, no JSON."""

    maybe_billed = True
    _BRIEF = "OpenAI answers, but not with the embeddings that were asked for."


class WrongWidth(Invalid):
    """All embeddings have another dimension than asked for, as far as they were looked at."""


class TooFew(Invalid):
    """Fewer embeddings than inputs: `came`. Some servers leave out what is over their limit, without a word."""

    def __init__(self, came: int, asked: int) -> None:
        super().__init__(f"{came} embeddings came for {asked} inputs.")
        self.came = came


class Partial(Invalid):
    """Some embeddings cannot be used (null, NaN, zeros); `vectors` holds None in their places, and the others.

    `tokens`: what the answer says was billed; None: it does not say.
    """

    def __init__(self, message: str, vectors: Sequence[bytes | None], tokens: int | None = None) -> None:
        super().__init__(message)
        self.vectors = list(vectors)
        self.tokens = tokens

"""Optional parameters of a request: sent only where they change something, left out where the server refuses them."""

from typing import Any

# Widths that the models have without being asked; `dimensions` changes nothing there.
OWN_WIDTHS = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}


class Parameters:
    """What is sent besides model and input; what a server taught is remembered for the life of the process.

    Args:
        model: Its name.
        send_dimensions: Always or never; None: where it seems to be needed.
        chosen: The dimension was configured, not taken from the index.
    """

    def __init__(self, model: str, send_dimensions: bool | None, *, chosen: bool) -> None:
        self._model = model.rpartition("/")[2]
        self._forced = send_dimensions
        guess = not self._model.endswith("ada-002") and (chosen or self._model.startswith("text-embedding-3"))
        self._sent = {"encoding_format", "dimensions"} if send_dimensions or guess else {"encoding_format"}
        if send_dimensions is False:
            self._sent.discard("dimensions")
        # Refused, or tried: not to be tried again.
        self._settled = {"dimensions"} if send_dimensions is not None else set()
        self._at_first = frozenset(self._sent)
        self._proved = False

    def fields(self, dimension: int) -> dict[str, Any]:
        """What to send now."""
        fields: dict[str, Any] = {}
        if "encoding_format" in self._sent:
            fields["encoding_format"] = "base64"
        if "dimensions" in self._sent and (self._forced or OWN_WIDTHS.get(self._model) != dimension):
            fields["dimensions"] = dimension
        return fields

    def prove(self) -> None:
        """Something was bought with these."""
        self._proved = True

    def drop(self, name: str, sent: dict[str, Any]) -> bool:
        """The server refuses this one. True: it was sent, and is left out from now on."""
        if name not in sent or (name == "dimensions" and self._forced):
            return False
        self._sent.discard(name)
        self._settled.add(name)
        return True

    def widen(self, sent: dict[str, Any]) -> bool:
        """Vectors of another width came. True: the dimension was not asked for, and is from now on."""
        if "dimensions" in sent or "dimensions" in self._settled:
            return False
        self._sent.add("dimensions")
        self._settled.add("dimensions")
        return True

    def simplify(self, sent: dict[str, Any], dimension: int) -> bool:
        """A request was refused in words that name no parameter, as some servers do, before anything was bought.

        True: to be asked again with less. False: all was tried; the next begins anew.
        """
        if self._proved:
            return False
        if sent != self.fields(dimension):  # another request has learned it meanwhile
            return True
        for name in ("encoding_format", "dimensions"):
            if name in sent and not (name == "dimensions" and self._forced):
                self._sent.discard(name)
                return True
        self._sent = set(self._at_first)
        return False

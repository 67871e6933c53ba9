"""A name server whose answer changes, for channels that must follow it (RFC 1035: one question, A records)."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator

TYPE_A, CLASS_IN, TTL_SECONDS = 1, 1, 0
ANSWER, RECURSION = 0x8000, 0x0180


class NameServer:
    """Answers every question for an A record with the same addresses, and others with none."""

    def __init__(self, server: socket.socket) -> None:
        self.addresses: tuple[str, ...] = ()
        self.port = int(server.getsockname()[1])
        self._server = server

    def serve(self) -> None:
        """Until the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                question, asker = self._server.recvfrom(512)
                if not question:
                    return
                self._server.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        name_end = question.index(b"\0", 12) + 1
        asked = question[12 : name_end + 4]
        wanted = self.addresses if int.from_bytes(asked[-4:-2], "big") == TYPE_A else ()
        head = question[:2] + (ANSWER | RECURSION).to_bytes(2, "big")
        head += b"".join(count.to_bytes(2, "big") for count in (1, len(wanted), 0, 0))
        record = b"\xc0\x0c" + b"".join(each.to_bytes(2, "big") for each in (TYPE_A, CLASS_IN))
        record += TTL_SECONDS.to_bytes(4, "big") + (4).to_bytes(2, "big")
        return head + asked + b"".join(record + ipaddress.IPv4Address(each).packed for each in wanted)


@contextlib.contextmanager
def serving() -> Iterator[NameServer]:
    """A name server on a port of its own; gRPC asks it as ``dns://127.0.0.1:PORT/NAME:PORT``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        names = NameServer(server)
        thread = threading.Thread(target=names.serve, daemon=True)
        thread.start()
        try:
            yield names
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", names.port))
            thread.join(5)

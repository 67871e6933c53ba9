"""One request over HTTP/2, frame by frame, as no client library would send it."""

import socket
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

END = (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)


def ask(
    port: int, method: str, path: str, headers: Sequence[tuple[str, str]] = (), content: bytes = b""
) -> tuple[dict[str, str], bytes]:
    """Headers and trailers of the answer as one, and its content."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gateway"), *headers]
    client.send_headers(1, head, end_stream=not content)
    if content:
        client.send_data(1, content, end_stream=True)
    told: dict[str, str] = {}
    parts: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        while True:
            caller.sendall(client.data_to_send())
            received = caller.recv(65536)
            assert received, "the gateway closed the connection"
            for event in client.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    told.update((str(name), str(value)) for name, value in event.headers or ())
                elif isinstance(event, h2.events.DataReceived):
                    parts.append(event.data or b"")
                elif isinstance(event, END):
                    return told, b"".join(parts)

"""Asks a service for its health (grpc.health.v1), for a container's healthcheck: ``probe.py ADDRESS SERVICE``.

Exit code 0: SERVING. 1: it says something else, or nothing within the deadline. 2: usage. With mTLS (TLS_CERT_FILE and
the others) it shows the container's own certificate, and expects that of the service.

It is run every few seconds beside a process that may need every millisecond, so it costs 20 ms of CPU where importing
grpc alone costs 350: the one call is written by hand (RFC 9113 frames, RFC 7541 literals, gRPC over HTTP/2), and the
interpreter is started with ``python -S -P``, which looks for no packages at its start.
"""

import os
import socket
import sys
import time

TYPE_CHECKING = False  # as typing's, which costs 5 ms
if TYPE_CHECKING:
    import ssl
    from typing import Any

TIMEOUT_SECONDS = 3.0
PATH = b"/grpc.health.v1.Health/Check"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
# An answer is some 100 bytes; whoever sends more than this is no health service.
MOST_BYTES = 65_536
SERVING = 1
# https://github.com/grpc/grpc/blob/master/src/proto/grpc/health/v1/health.proto
STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
# https://grpc.github.io/grpc/core/md_doc_statuscodes.html
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
TLS_VARIABLES = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")


class Unusable(Exception):
    """There is an answer, and it is none of a health service; says what is wrong with it."""


class Connection:
    """A socket whose every wait ends with the deadline."""

    def __init__(self, address: str, name: str) -> None:
        """Dial and, with mTLS, expect a certificate for `name`."""
        host, _, port = address.rpartition(":")
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        context = _mtls()
        # In bytes: for a str the codec of international names is imported, 5 ms.
        where: Any = (host.strip("[]").encode(), int(port))
        self._socket = socket.create_connection(where, TIMEOUT_SECONDS)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=name)
        self._left = MOST_BYTES

    def send(self, data: bytes) -> None:
        self._socket.settimeout(self._remaining())
        self._socket.sendall(data)

    def frame(self) -> tuple[int, int, bytes]:
        """The next frame: type, flags, payload (RFC 9113, 4.1)."""
        head = self._read(9)
        return head[3], head[4], self._read(int.from_bytes(head[:3], "big"))

    def close(self) -> None:
        self._socket.close()

    def _read(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise Unusable("it answers with more than a health service does")
        read = b""
        while len(read) < count:
            self._socket.settimeout(self._remaining())
            part = self._socket.recv(count - len(read))
            if not part:
                raise Unusable("it closed the connection")
            read += part
        return read

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining


def main(arguments: list[str]) -> int:
    """Ask once; one line on stderr says what is wrong."""
    if len(arguments) != 2 or not arguments[0].rpartition(":")[2].isdecimal():
        sys.stderr.write("usage: probe.py HOST:PORT FULL.SERVICE.NAME\n")
        return 2
    address, service = arguments
    try:
        said = ask(address, service)
    except TimeoutError:
        said = f"no answer within {TIMEOUT_SECONDS:g} s"
    except (OSError, Unusable) as error:  # ssl.SSLError is an OSError
        said = str(error)
    if said == STATUSES[SERVING]:
        return 0
    sys.stderr.write(f"{service} at {address}: {said}\n")
    return 1


def ask(address: str, service: str) -> str:
    """What the service says: a serving status, or the name of a gRPC code.

    Raises:
        OSError: Nobody listens, or (TimeoutError) says anything in time, or TLS fails.
        Unusable: What answers is no health service.
    """
    # "vectorline.v1.IngestService" has a certificate for "ingest".
    connection = Connection(address, service.rpartition(".")[2].removesuffix("Service").lower())
    try:
        connection.send(_request(address, service))
        return _answer(connection)
    finally:
        connection.close()


def _mtls() -> "ssl.SSLContext | None":
    """What mTLS needs; None without it."""
    files = [os.environ.get(variable, "") for variable in TLS_VARIABLES]
    if not any(files):
        return None
    if not all(files):
        raise Unusable("mTLS needs " + ", ".join(TLS_VARIABLES))
    import ssl  # noqa: PLC0415  # 10 ms that a line without mTLS does not pay

    certificate, key, authority = files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.set_alpn_protocols(["h2"])
    return context


def _request(address: str, service: str) -> bytes:
    """The connection's preface, our settings (none), and the call on stream 1."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    # :method POST and :scheme https or http, of the static table (RFC 7541, A)
    headers = b"\x83" + (b"\x87" if os.environ.get(TLS_VARIABLES[0]) else b"\x86")
    for field, value in ((b":path", PATH), (b":authority", address.encode()), (b"te", b"trailers")):
        headers += b"\x00" + _literal(field) + _literal(value)
    headers += b"\x00" + _literal(b"content-type") + _literal(b"application/grpc")
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    return (
        PREFACE
        + _frame(SETTINGS, 0, 0, b"")
        + _frame(HEADERS, END_HEADERS, 1, headers)
        + _frame(DATA, END_STREAM, 1, body)
    )


def _answer(connection: Connection) -> str:
    """Read frames until the stream ends."""
    body, fields, status = b"", b"", ""
    while True:
        kind, flags, payload = connection.frame()
        if kind == SETTINGS and not flags & ACK:
            connection.send(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            connection.send(_frame(PING, ACK, 0, payload))
        elif kind == DATA:
            body += _unpadded(flags, payload)
            status = _status(body) or status
        elif kind in (HEADERS, CONTINUATION):
            fields += payload
        elif kind == RST_STREAM:
            raise Unusable("it broke the call off")
        elif kind == GOAWAY and not status:
            raise Unusable("it is going away")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            code = _code(fields)  # one that is not OK may come with an empty message
            return code if code not in ("", "OK") else status or "an answer without a status"


def _status(body: bytes) -> str:
    """The serving status in a gRPC message; nothing while it is not whole."""
    size = int.from_bytes(body[1:5], "big")
    if len(body) < 5 + size:
        return ""
    message = body[5 : 5 + size]
    if not message:
        return STATUSES[0]  # proto3 leaves a zero out
    if len(message) != 2 or message[0] != 0x08 or message[1] >= len(STATUSES):
        raise Unusable("its answer is no HealthCheckResponse")
    return STATUSES[message[1]]


def _code(fields: bytes) -> str:
    """The name of the grpc-status in a header block; nothing where it is no plain literal (gRPC writes one)."""
    _, found, rest = fields.partition(b"grpc-status")
    digits = rest[1 : 1 + rest[0]] if found and rest else b""
    if digits.isdigit() and int(digits) < len(CODES):
        return CODES[int(digits)]
    return ""


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED and payload else payload


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _varint(number: int) -> bytes:
    """A length as protobuf writes it."""
    written = b""
    while number > 0x7F:
        written += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return written + bytes((number,))


def _literal(text: bytes) -> bytes:
    """A string as HPACK writes it, without Huffman's code (RFC 7541, 5.1 and 5.2)."""
    size = len(text)
    if size < 0x7F:
        return bytes((size,)) + text
    return b"\x7f" + _varint(size - 0x7F) + text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

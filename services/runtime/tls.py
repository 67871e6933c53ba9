"""mTLS between the services: certificates from files, and who the other side is.

Every service has a certificate whose SAN (or, without one, CN) is its name: ``ingest``, ``embedder``, ``indexer``. A
server asks every client for a certificate of our CA; one with a service's name is the internal identity, any other
(the gateway's) only opens the connection. Servers take up changed files at the next handshake. A channel keeps the
certificate that it began with: restart a service before its old certificate ends.
"""

import dataclasses
import pathlib
import ssl
from collections.abc import Iterable, Mapping

import grpc
import structlog

from services.runtime import settings

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Material:
    """PEM texts that belong together."""

    certificate: bytes
    key: bytes
    authority: bytes


@dataclasses.dataclass(frozen=True)
class Files:
    """Where this process's certificate chain, its key, and the CA of all services lie."""

    certificate: pathlib.Path
    key: pathlib.Path
    authority: pathlib.Path

    def read(self) -> Material:
        """Read the three.

        Raises:
            OSError: One cannot be read.
            ssl.SSLError: They are no PEM, or do not belong together (also: were replaced one after the other just now).
        """
        material = Material(self.certificate.read_bytes(), self.key.read_bytes(), self.authority.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authority)
        return material

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """Changes when a file does; also when a link is turned to another file, as secrets in containers are."""
        found = (path.stat() for path in (self.certificate, self.key, self.authority))
        return tuple((each.st_mtime_ns, each.st_ino) for each in found)


def named(where: settings.TlsSettings) -> Files | None:
    """The files that are configured, not looked at; None without mTLS."""
    if where.tls_cert_file is None or where.tls_key_file is None or where.tls_ca_file is None:
        return None
    return Files(where.tls_cert_file, where.tls_key_file, where.tls_ca_file)


def files(where: settings.TlsSettings) -> Files | None:
    """The files that are configured, read once; None without mTLS. Stops the process when they are not usable."""
    found = named(where)
    if found is None:
        return None
    try:
        found.read()
    except (OSError, ssl.SSLError) as error:  # names the file or what is wrong with it, never its content
        settings.refuse(f"TLS_CERT_FILE, TLS_KEY_FILE, TLS_CA_FILE: {error}")
    return found


def server_credentials(source: Files) -> grpc.ServerCredentials:
    """Credentials that ask for a client certificate, and that follow the files."""
    watched = _Watched(source)
    return grpc.dynamic_ssl_server_credentials(
        watched.configuration(),
        watched.changed,  # type: ignore[arg-type]  # the stubs forget that None is allowed
        require_client_authentication=True,
    )


def channel_credentials(source: Files) -> grpc.ChannelCredentials:
    """Credentials with this process's certificate."""
    material = source.read()
    return grpc.ssl_channel_credentials(material.authority, material.key, material.certificate)


def is_service(peer: Mapping[str, Iterable[bytes]], names: frozenset[str]) -> bool:
    """Whether a connection's peer is one of these services. gRPC tells only of certificates that our CA signed."""
    found = frozenset(peer.get("x509_subject_alternative_name", ())) or frozenset(peer.get("x509_common_name", ()))
    return not names.isdisjoint(name.decode(errors="replace") for name in found)


class _Watched:
    """The files, with what they held at the last handshake."""

    def __init__(self, source: Files) -> None:
        self._source = source
        self._stamps = source.stamps()
        self._material = source.read()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What they hold, as gRPC wants it."""
        held = self._material
        return grpc.ssl_server_certificate_configuration([(held.key, held.certificate)], held.authority)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at every handshake, in a thread of its own: None for no change."""
        try:
            stamps = self._source.stamps()
            if stamps == self._stamps:
                return None
            self._material = self._source.read()
        except (OSError, ssl.SSLError) as error:  # half replaced: the next handshake looks again
            log.warning("New certificates cannot be used.", action="certificates_unusable", error=str(error))
            return None
        self._stamps = stamps
        log.info("New certificates are in use.", action="certificates_renewed")
        return self.configuration()

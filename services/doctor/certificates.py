"""This process's certificate for mTLS: do its files fit together, whose is it, and when does it run out?

The files are tried as the services use them: two ends in memory, each with these files, shake hands. What the client's
end then holds is the certificate in the clear.
"""

import ssl
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.doctor import finding, told
from services.runtime import settings, tls

ABOUT = finding.About("certificates")
SECTIONS = (settings.TlsSettings,)
DAY_SECONDS = 86_400.0
SOON_DAYS = 14
RENEW = "Issue a new one and put it in place of the old; servers take it up by themselves, callers at their restart."
STEPS = 8


async def check(knows: told.Told, services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Look at TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE, where there is mTLS."""
    files = tls.named(knows.of(settings.TlsSettings))
    if files is None:
        yield ABOUT.ok("mTLS", "is not used here (TLS_CERT_FILE, TLS_KEY_FILE, TLS_CA_FILE are not set)")
        return
    try:
        files.read()
    except (OSError, ssl.SSLError) as error:
        yield ABOUT.broken(
            "files", str(error), "Look at the three files: readable PEM, the key that of the certificate."
        )
        return
    try:
        certificate = _shaken(files)
    except ssl.SSLCertVerificationError as error:
        words = f"{files.certificate}: {error.verify_message}"
        yield ABOUT.broken("certificate", words, f"It must be signed by TLS_CA_FILE, and be valid now. {RENEW}")
        return
    for part, path, ends in (
        ("certificate", files.certificate, certificate["notAfter"]),
        *(("authority", files.authority, each["notAfter"]) for each in _authorities(files)),
    ):
        yield _judged(part, str(path), ends)
    yield _named(certificate, services)


def _shaken(files: tls.Files) -> dict[str, Any]:
    """The certificate, as the other end sees and has verified it.

    Raises:
        ssl.SSLCertVerificationError: The other end would refuse it.
    """
    serving, asking = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    serving.load_cert_chain(files.certificate, files.key)
    asking.load_verify_locations(files.authority)
    asking.check_hostname = False  # whose it is comes after
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there)
    server = serving.wrap_bio(there, back, server_side=True)
    for _ in range(STEPS):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found: dict[str, Any] = client.getpeercert() or {}
    return found


def _authorities(files: tls.Files) -> list[dict[str, Any]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.authority)
    return context.get_ca_certs()


def _judged(part: str, path: str, ends: str) -> finding.Finding:
    days = (ssl.cert_time_to_seconds(ends) - time.time()) / DAY_SECONDS
    words = f"{path} is valid until {ends} ({days:.1f} days)"
    if days <= 0:
        return ABOUT.broken(part, words, RENEW)
    if days < SOON_DAYS:
        return ABOUT.warning(part, words, RENEW)
    return ABOUT.ok(part, words)


def _named(certificate: dict[str, Any], services: Sequence[str]) -> finding.Finding:
    names = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"} or {
        value for entry in certificate.get("subject", ()) for kind, value in entry if kind == "commonName"
    }
    if names.isdisjoint(services):
        words = f"it is for {', '.join(sorted(names)) or 'nobody'}, not for {' or '.join(services)}"
        return ABOUT.broken("name", words, "Its SAN must be the service's name, or the others take it for a stranger.")
    return ABOUT.ok("name", f"it is for {', '.join(sorted(names))}")

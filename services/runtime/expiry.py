"""When what this process was given to prove itself, or to know its callers by, runs out."""

import datetime
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog
from prometheus_client import core, registry

from services.runtime import metrics

log = structlog.get_logger()

NAME: Final = "vectorline_credential_expires_timestamp_seconds"
WORDS: Final = (
    "When the first of a kind ends, in seconds since 1970: key (of API_KEYS, but for those that are over), "
    "certificate, authority."
)
metrics.OVER[NAME] = metrics.Over.EACH

# Tags of DER: https://www.itu.int/rec/T-REC-X.690
_EXPLICIT_VERSION, _UTC_TIME = 0xA0, 0x17


class Expiry(registry.Collector):
    """The earliest end of each kind of credential; of a kind that never ends, or is not used, there is nothing.

    Args:
        ends: By kind: asked at each scrape, as files and keys change while the process runs. None: never.
    """

    def __init__(self, ends: Mapping[str, Callable[[], datetime.datetime | None]]) -> None:
        self._ends = ends

    def collect(self) -> Iterator[core.Metric]:
        """What is good until when."""
        family = core.GaugeMetricFamily(NAME, WORDS, labels=["credential"])
        for kind, ask in self._ends.items():
            try:
                end = ask()
            except (OSError, ValueError) as error:  # half replaced: the next scrape looks again
                log.warning(
                    "A credential's end cannot be read.", action="expiry_unread", credential=kind, error=str(error)
                )
                continue
            if end is not None:
                family.add_metric([kind], end.timestamp())
        yield family

    def describe(self) -> list[core.Metric]:
        """The name only."""
        return [core.GaugeMetricFamily(NAME, WORDS, labels=["credential"])]


def of_certificates(pem: str) -> datetime.datetime:
    """When the first of a file's certificates ends.

    Raises:
        ValueError: There is none, or it is none.
    """
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [begin + block.partition(end)[0] + end for block in pem.split(begin)[1:]]
    if not blocks:
        raise ValueError("The file holds no certificate.")
    try:
        return min(_not_after(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)
    except IndexError as error:
        raise ValueError("The file holds something that is no certificate.") from error


def _not_after(certificate: bytes) -> datetime.datetime:
    """The end of a certificate's validity (RFC 5280, 4.1): the second time of the field after the issuer.

    The standard library reads the certificates of others, on a connection; its own file's it does not tell.
    """
    body = _elements(_elements(certificate)[0][1])
    fields = _elements(body[0][1])
    validity = _elements(fields[4 if fields[0][0] == _EXPLICIT_VERSION else 3][1])
    tag, text = validity[1]
    # Two digits of a year are of 1950 to 2049.
    century = "" if tag != _UTC_TIME else "20" if text[:2] < b"50" else "19"
    return datetime.datetime.strptime(century + text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents of what stands one after the other."""
    found = []
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            width = size & 0x7F
            size, at = int.from_bytes(der[at : at + width], "big"), at + width
        found.append((tag, der[at : at + size]))
        at += size
    return found

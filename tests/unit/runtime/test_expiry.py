"""When keys and certificates run out, as a metric."""

import datetime
import pathlib

import pytest
from cryptography import x509

from services.runtime import expiry, keys, settings
from tests.support import certificates

PEPPER = "a pepper of the test's own"
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)


def end_of(path: str) -> datetime.datetime:
    """As the library that made it reads it."""
    return x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes()).not_valid_after_utc


def entry(number: int, expires: str) -> str:
    return f'{{"id": "k{number}", "hash": "{number:064x}", "scopes": ["read"], "expires": {expires}}}'


def ring(*entries: str) -> keys.Keyring:
    return keys.Keyring(settings.AccessSettings(api_keys=f"[{','.join(entries)}]", api_key_pepper=PEPPER))


def shown(**ends: object) -> dict[str, float]:
    (family,) = expiry.Expiry({kind: lambda end=end: end for kind, end in ends.items()}).collect()
    return {sample.labels["credential"]: sample.value for sample in family.samples}


def test_a_certificate_ends_when_it_says(tmp_path: pathlib.Path) -> None:
    files = certificates.Authority(tmp_path / "ca").sign("ingest")

    for name in ("tls_cert_file", "tls_ca_file"):
        assert expiry.of_certificates(pathlib.Path(files[name]).read_text()) == end_of(files[name])


def test_a_chain_ends_with_its_first(tmp_path: pathlib.Path) -> None:
    short = certificates.Authority(tmp_path / "short").sign("ingest")["tls_cert_file"]
    late = datetime.timedelta(days=10_000)  # beyond 2050: written another way
    long = certificates.Authority(tmp_path / "long").sign("ingest", ends=late)["tls_cert_file"]
    texts = [pathlib.Path(path).read_text() for path in (long, short)]

    assert expiry.of_certificates(texts[0]) == end_of(long)
    assert end_of(long).year > 2050
    assert expiry.of_certificates("".join(texts)) == end_of(short)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"certificate"):
        expiry.of_certificates(text)


def test_the_first_key_that_is_still_good_counts() -> None:
    found = ring(
        entry(1, '"2026-11-01T00:00:00Z"'), entry(2, '"2027-03-01T00:00:00Z"'), entry(3, '"2026-12-24T00:00:00Z"')
    )

    assert found.first_end(NOW) == datetime.datetime(2026, 12, 24, tzinfo=datetime.UTC)
    assert ring(entry(1, "null")).first_end(NOW) is None


def test_what_never_ends_or_cannot_be_read_shows_nothing() -> None:
    def unreadable() -> datetime.datetime:
        raise ValueError("half replaced")

    assert shown(key=NOW, certificate=None) == {"key": NOW.timestamp()}
    (family,) = expiry.Expiry({"certificate": unreadable}).collect()
    assert not family.samples

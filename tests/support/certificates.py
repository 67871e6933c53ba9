"""A CA of the test's own, and certificates that it signs."""

import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates into a folder: ca.pem, NAME.pem, NAME.key. `ends`: so long from now its own is valid."""

    def __init__(self, folder: pathlib.Path, *, ends: datetime.timedelta = DAY) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True, parents=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {folder.name}")])
        own = self._builder(self._name, self._key, ends).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), True
        )
        self._write("ca.pem", own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, *, san: bool = True, ends: datetime.timedelta = DAY) -> dict[str, str]:
        """A new certificate for a service; answers the settings that name its files."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ends)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files = {
            "tls_cert_file": self._write(f"{name}.pem", made.public_bytes(serialization.Encoding.PEM)),
            "tls_key_file": self._write(f"{name}.key", private),
            "tls_ca_file": self.folder / "ca.pem",
        }
        return {setting: str(path) for setting, path in files.items()}

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + ends)
        )

    def _write(self, name: str, content: bytes) -> pathlib.Path:
        path = self.folder / name
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)
        return path

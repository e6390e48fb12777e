"""X.509: the certificate around a tenant's signing key, and a local authority for TLS without a public one.

The signing certificate has the shape Auth0 gives it, because SAML service providers and JWKS clients pin it:
self-signed, RSA 2048, `CN=` the tenant's domain, 5000 days. The local authority is for machines that no public
authority serves: its private key never leaves its folder, and its certificate file is what clients are told to trust.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from freehold.kernel.errors import FreeholdError

SIGNING_CERTIFICATE_LIFETIME = timedelta(days=5000)
AUTHORITY_LIFETIME = timedelta(days=3650)
# Browsers refuse leaf certificates of more than 398 days; renewing at a third of the life left is what ACME clients do.
SERVER_LIFETIME = timedelta(days=397)
SERVER_RENEWAL_BEFORE_END = timedelta(days=132)
LOOPBACK_NAMES = ("localhost", "*.localhost", "127.0.0.1", "::1")


class UnusableAuthority(FreeholdError):
    """The local authority's files do not belong together."""

    code = "unusable_authority"


class SigningMaterial(NamedTuple):
    """A tenant's signing key with its certificate in every form that is asked for."""

    private_key: rsa.RSAPrivateKey
    certificate_pem: str
    pkcs7_pem: str
    thumbprint: str
    fingerprint: str

    @classmethod
    def of(cls, private_key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> Self:
        """A key and a certificate that was made for it."""
        return cls(
            private_key,
            _pem(certificate),
            pkcs7.serialize_certificates([certificate], serialization.Encoding.PEM).decode("ascii"),
            certificate_thumbprint(certificate),
            certificate_fingerprint(certificate),
        )


def new_tenant_signing_material(
    domain: str, now: datetime, *, private_key: rsa.RSAPrivateKey | None = None
) -> SigningMaterial:
    """A new RSA 2048 key, or the one given, and its self-signed certificate for the canonical domain of a tenant."""
    private_key = private_key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])  # a CN holds 64 characters (RFC 5280 A.1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(_nine_byte_serial())
        .not_valid_before(now)
        .not_valid_after(now + SIGNING_CERTIFICATE_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=True), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    return SigningMaterial.of(private_key, certificate)


def certificate_thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate as 40 upper-case hexadecimal digits."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """The thumbprint with a colon between bytes."""
    thumbprint = certificate_thumbprint(certificate)
    return ":".join(thumbprint[index : index + 2] for index in range(0, len(thumbprint), 2))


def private_key_pem(private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8 PEM without a passphrase: to be sealed before it is stored."""
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class ServerCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a TLS server is started with."""

    certificate_file: Path
    key_file: Path
    names: tuple[str, ...]
    valid_until: datetime


class LocalAuthority:
    """The certificate authority of one installation, in a folder of its own; only certificates are readable."""

    def __init__(self, folder: Path, private_key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.folder = folder
        self.certificate_file = folder / "ca.pem"
        self._private_key = private_key
        self._certificate = certificate

    @classmethod
    def load_or_create(cls, folder: Path, now: datetime) -> Self:
        """The authority in the folder, made at the first start. Clients go on trusting it until it ends."""
        key_file, certificate_file = folder / "ca.key", folder / "ca.pem"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone_in(folder):
            if not (key_file.exists() and certificate_file.exists()):
                private_key = ec.generate_private_key(ec.SECP256R1())
                _write_pair(key_file, private_key, certificate_file, _authority_certificate(private_key, now))
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != certificate.public_key():
            raise UnusableAuthority(f"{key_file} is not the key of {certificate_file}")
        return cls(folder, loaded, certificate)

    def server_certificate(self, names: Iterable[str] = (), *, now: datetime) -> ServerCertificate:
        """The server's certificate: the one on disk while it has these names and time left, else a new one.

        `names` are DNS names and IP addresses beside the loopback ones; each DNS name also gets its wildcard.
        """
        wanted = _all_names(names)
        certificate_file, key_file = self.folder / "server.pem", self.folder / "server.key"
        with _alone_in(self.folder):
            current = self._usable(certificate_file, key_file, wanted, now)
            if current is None:
                current, private_key = self._issue(wanted, now)
                _write_pair(key_file, private_key, certificate_file, current)
        return ServerCertificate(
            certificate_file=certificate_file, key_file=key_file, names=wanted, valid_until=current.not_valid_after_utc
        )

    def _usable(
        self, certificate_file: Path, key_file: Path, wanted: tuple[str, ...], now: datetime
    ) -> x509.Certificate | None:
        if not (certificate_file.exists() and key_file.exists()):
            return None
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usable = (
            certificate.issuer == self._certificate.subject
            and set(names) == {_general_name(name) for name in wanted}
            and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - SERVER_RENEWAL_BEFORE_END
        )
        return certificate if usable else None

    def _issue(self, names: tuple[str, ...], now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        private_key = ec.generate_private_key(ec.SECP256R1())
        issuer_key_id = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Freehold server")]))
            .issuer_name(self._certificate.subject)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))  # for clients whose clock is a little behind
            .not_valid_after(min(now + SERVER_LIFETIME, self._certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
            )
            .sign(self._private_key, hashes.SHA256())
        )
        return certificate, private_key


def _authority_certificate(private_key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # The random part tells the authorities of several installations apart in a browser's list.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Freehold local authority {secrets.token_hex(4)}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False)
        .sign(private_key, hashes.SHA256())
    )


def _all_names(names: Iterable[str]) -> tuple[str, ...]:
    wanted = list(LOOPBACK_NAMES)
    for name in names:
        lowered = name.lower().rstrip(".")
        wanted += [lowered] if _as_address(lowered) or lowered.startswith("*.") else [lowered, f"*.{lowered}"]
    return tuple(dict.fromkeys(wanted))


def _general_name(name: str) -> x509.GeneralName:
    address = _as_address(name)
    return x509.IPAddress(address) if address else x509.DNSName(name)


def _as_address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _nine_byte_serial() -> int:
    """Positive, and exactly nine bytes long, as in Auth0's certificates."""
    return secrets.randbits(70) | 1 << 70


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out, so that nobody pairs one's key with another's certificate."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_pair(
    key_file: Path, private_key: ec.EllipticCurvePrivateKey, certificate_file: Path, certificate: x509.Certificate
) -> None:
    """The certificate last: with it the pair is complete, and a start that was cut short begins anew."""
    certificate_file.unlink(missing_ok=True)
    _write(key_file, private_key_pem(private_key), mode=0o600)
    _write(certificate_file, _pem(certificate).encode(), mode=0o644)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Into place in one step, so that a crash leaves the old file or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
